"""Every page and every write has the role it needs: a walk through all addresses with all four roles."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from lionweb.models import Role, User
from tests import factories as make
from tests import review_factories as review

OPEN = {"sign-in", "healthz"}
"""Without signing in."""
LEADS_ON = {"home"}
"""Only sends on to another page."""
OWN = {"sign-out", "own-password", "view-save", "view-delete"}
"""Writes that everybody may do, for themselves alone."""
READERS = {
    "my-reviews": Role.ANNOTATOR,
    "audit": Role.RESEARCHER,
    "audit-csv": Role.RESEARCHER,
    "people": Role.ADMIN,
}
"""Pages to look at which more is needed than the role of a viewer, besides those that only answer a POST."""
WRITERS = {
    "reviewer-add": Role.RESEARCHER,
    "reviewer-remove": Role.RESEARCHER,
    "conflict-resolve": Role.RESEARCHER,
    "conflict-reopen": Role.RESEARCHER,
    "review-close": Role.RESEARCHER,
    "approval-close": Role.RESEARCHER,
    "experiment-new": Role.RESEARCHER,
    "experiment-launch": Role.RESEARCHER,
    "experiment-pause": Role.RESEARCHER,
    "experiment-resume": Role.RESEARCHER,
    "experiment-cancel": Role.RESEARCHER,
    "stage-retry": Role.RESEARCHER,
    "threshold-apply": Role.RESEARCHER,
    "threshold-replay": Role.RESEARCHER,
    "pool-upload": Role.RESEARCHER,
    "endpoint-add": Role.RESEARCHER,
    "endpoint-edit": Role.RESEARCHER,
    "endpoint-check": Role.RESEARCHER,
    "person-invite": Role.ADMIN,
    "person-role": Role.ADMIN,
    "person-password": Role.ADMIN,
    "person-deactivate": Role.ADMIN,
    "person-reactivate": Role.ADMIN,
}
"""Writes for which an annotator is not enough. A new one that is missing here must at least be closed to viewers."""
LOOKING_CHANGES = {"review-gate"}
"""Opening an item of the review queue locks it for the person who looks."""


def patterns(resolver=None):
    for one in (resolver or get_resolver()).url_patterns:
        if isinstance(one, URLResolver):
            yield from patterns(one)
        elif isinstance(one, URLPattern) and one.name:
            yield one


ALL = sorted({one.name for one in patterns()})
PATTERNS = {one.name: one for one in patterns()}


@pytest.fixture
def addresses(alice, dora):
    """An address of every page, with numbers of rows that exist."""
    iteration = review.waiting_iteration(alice)
    make.add_candidates(iteration, make.make_instructions(2), accepted=1)
    known = {"number": 1, "side": "teacher"}
    experiment = iteration.experiment
    rows = {
        "experiments/": experiment.pk,
        "stages/": iteration.stages.first().pk,
        "classifications/": review.items_of(iteration)[0].pk,
        "reviews/": review.items_of(iteration)[0].pk,
        "candidates/": iteration.candidates.first().pk,
        "pools/": experiment.pool_id,
        "endpoints/": experiment.endpoint_id,
        "instructions/": experiment.pool.entries.first().instruction_id,
        "people/": alice.pk,
    }

    def address(name):
        pattern = PATTERNS[name].pattern
        start = next((pk for prefix, pk in rows.items() if str(pattern).startswith(prefix)), 1)
        values = {key: start if key == "pk" else known[key] for key in pattern.converters}
        return reverse(name, kwargs=values)

    return address


def signed_in(person, **options):
    client = Client(**options)
    client.force_login(person)
    return client


def test_the_tables_name_only_addresses_that_exist():
    assert (set(READERS) | set(WRITERS) | OPEN | OWN | LEADS_ON) <= set(ALL)


def test_nobody_gets_anywhere_without_signing_in(client, addresses):
    reached = [
        (name, answer.status_code)
        for name in ALL
        if name not in OPEN
        for answer in (client.get(addresses(name)), client.post(addresses(name)))
        if answer.status_code != 302 or not answer["Location"].startswith("/sign-in/")
    ]

    assert reached == []


def test_a_viewer_writes_nothing(addresses, charlie):
    client = signed_in(charlie)

    codes = {name: client.post(addresses(name)).status_code for name in ALL if name not in OPEN | OWN | LEADS_ON}

    assert {name: code for name, code in codes.items() if code not in (403, 405)} == {}


def test_a_viewer_reads_all_pages_but_those_for_fewer_people(addresses, charlie):
    client = signed_in(charlie)

    codes = {name: client.get(addresses(name)).status_code for name in ALL if name not in OPEN | OWN}

    refused = {name for name, code in codes.items() if code == 403}
    assert set(READERS) <= refused
    assert {name for name, code in codes.items() if code not in (200, 302, 403, 404, 405)} == set()


@pytest.mark.parametrize("role", Role.values)
def test_each_role_reads_and_writes_what_it_may(addresses, role):
    person = User.objects.create_user("somebody", role=role)
    client, wrong = signed_in(person), []

    for table, ask in ((READERS, client.get), (WRITERS, client.post)):
        for name, least in table.items():
            code = ask(addresses(name)).status_code
            if (code != 403) != person.may(least):
                wrong.append((name, code))

    assert wrong == []


def test_an_annotator_is_refused_what_only_researchers_write(addresses, bob):
    client = signed_in(bob)

    assert {client.post(addresses(name)).status_code for name in WRITERS} == {403}


def test_no_write_without_the_forms_token(addresses, dora):
    client = signed_in(dora, enforce_csrf_checks=True)

    codes = {name: client.post(addresses(name)).status_code for name in ALL if name != "healthz"}

    assert {name: code for name, code in codes.items() if code not in (403, 405)} == {}


def test_looking_changes_nothing(addresses, dora):
    client, wrong = signed_in(dora), []

    for name in ALL:
        if name in LOOKING_CHANGES:
            continue
        with CaptureQueriesContext(connection) as seen:
            answer = client.get(addresses(name))
            b"".join(answer) if answer.streaming else None
        writes = [one["sql"] for one in seen if one["sql"].split(" ", 1)[0] in ("INSERT", "UPDATE", "DELETE")]
        wrong += [(name, sql) for sql in writes if "django_session" not in sql]

    assert wrong == []
