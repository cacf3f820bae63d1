"""axe-core finds nothing wrong on the pages of pools, experiments and gates, in both themes."""

import pytest

from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_no_page_has_a_violation(sign_in, alice, experiment):
    page = sign_in(alice)
    pool, member = experiment.pool_id, experiment.memberships.first().instruction_id
    addresses = ["/experiments/", f"/experiments/{experiment.pk}/", "/experiments/new/", "/pools/", "/pools/upload/"]
    addresses += [f"/pools/{pool}/", "/instructions/", f"/instructions/?experiment={experiment.pk}"]
    addresses += [f"/instructions/{member}/", f"/instructions/{member}/edit/"]
    addresses += [f"/experiments/{experiment.pk}/iterations/1/approval/", "/evaluations/", "/endpoints/", "/workers/"]
    more = ("referee", "threshold", "win-rate", "plan")
    addresses += [f"/experiments/{experiment.pk}/{name}/" for name in more] + ["/ledger/", "/judged/upload/"]
    found = {}
    for address in addresses:
        page.goto(address)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.wait_for_timeout(350)  # colours that are still changing have no contrast yet
            found[address, theme] = violations(page)

    assert {where: wrong for where, wrong in found.items() if wrong} == {}
