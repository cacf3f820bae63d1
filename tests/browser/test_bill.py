"""The pages of the bill in a browser: the budget that is raised, the plan beside what was counted, the ledger."""

from dataclasses import replace

import pytest

from distill.records import Purpose
from lionweb.models import StageKind, StageStatus
from tests import factories as make
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def paused(alice, monkeypatch):
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)
    endpoint = make.make_endpoint(
        "Teacher", input_usd_per_million=0.5, output_usd_per_million=1.5, batch_input_usd_per_million=0.25,
        batch_output_usd_per_million=0.75,
    )  # fmt: skip
    settings = replace(make.SMALL, iterations=2)
    made = make.make_experiment(alice, pool=make.make_pool(rows=60), settings=settings, endpoint=endpoint)
    make.finish_iteration(made)
    second = make.make_iteration(made, number=2, done=3, current=StageStatus.PAUSED, paused_for="budget")
    make.make_checkpoint(second)
    make.add_calls(second.stages.get(kind=StageKind.JUDGE), 40, Purpose.REVIEW)
    made.budget_usd = 0.0302
    made.save()
    return made


def test_a_paused_experiment_is_raised_from_its_page(sign_in, alice, paused, shoot):
    page = sign_in(alice)
    page.goto(f"/experiments/{paused.pk}/")
    assert "Paused (budget)" in page.locator("#paused-budget-title").inner_text()
    shoot(page, "paused-for-budget")
    page.click("#raise")
    page.fill("#budget-usd", "2.5")
    page.click("#raise-budget button[type=submit]")
    page.wait_for_selector(".message-success")
    assert page.locator("#paused-budget").count() == 0
    paused.refresh_from_db()
    assert paused.budget_usd == 2.5


def test_the_plan_and_the_ledger_are_pictured(sign_in, alice, paused, shoot):
    page = sign_in(alice)
    page.goto(f"/experiments/{paused.pk}/plan/")
    shoot(page, "plan")
    page.goto("/ledger/")
    shoot(page, "ledger")
    page.goto(f"/experiments/new/?clone={paused.pk}")
    page.fill("#id_generator__hard", "20")
    page.wait_for_timeout(1200)  # the plan is asked for a moment after typing
    assert "measured on" in page.locator("#plan-basis").inner_text()
    shoot(page, "new-experiment-plan")


def test_axe_finds_nothing_wrong(sign_in, alice, paused):
    page = sign_in(alice)
    found = {}
    for address in (f"/experiments/{paused.pk}/", f"/experiments/{paused.pk}/plan/", "/ledger/", "/experiments/new/"):
        page.goto(address)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.wait_for_timeout(350)
            found[address, theme] = violations(page)
    assert {where: wrong for where, wrong in found.items() if wrong} == {}
