"""From the decisions on an item to what counts: a table, and what follows for verdict and pools."""

from dataclasses import replace

import pytest

from distill.settings import GateSettings
from lionweb import pools_of
from lionweb.models import Decision, Membership
from lionweb.services.first_pools import append_pool
from lionweb.services.settling import outcome, settle_held
from tests import factories as make

HARD, EASY, WRONG, BAD, DOUBLE, UNSAFE = "hard", "easy", "teacher_wrong", "bad_instruction", "duplicate", "unsafe"


def said(*kinds, resolution=""):
    """Unsaved decisions, oldest first; each of another person."""
    made = [Decision(pk=n, person_id=n, kind=kind) for n, kind in enumerate(kinds, 1)]
    return [*made, Decision(pk=99, person_id=99, kind=resolution, is_resolution=True)] if resolution else made


@pytest.mark.parametrize(
    ("kinds", "reviewers", "state", "opinions", "needed"),
    [
        ((), 1, "pending", 0, 1),
        (("skip",), 1, "skipped", 0, 1),
        (("skip", HARD), 1, "confirmed", 1, 1),
        ((HARD,), 1, "confirmed", 1, 1),
        ((EASY,), 1, "overridden", 1, 1),
        ((WRONG,), 1, "overridden", 1, 1),
        ((BAD,), 1, "overridden", 1, 1),
        (("flag",), 1, "flagged", 0, 2),
        (("flag", "flag"), 1, "flagged", 0, 2),
        (("flag", HARD), 1, "flagged", 1, 2),
        (("flag", HARD, HARD), 1, "confirmed", 2, 2),
        (("flag", HARD, EASY), 1, "conflict", 2, 2),
        (("flag", "skip"), 1, "flagged", 0, 2),
        ((HARD, EASY), 1, "conflict", 2, 1),
        ((HARD,), 2, "pending", 1, 2),
        ((HARD, "skip"), 2, "pending", 1, 2),
        ((HARD, HARD), 2, "confirmed", 2, 2),
        ((EASY, EASY), 2, "overridden", 2, 2),
        ((EASY, HARD), 2, "conflict", 2, 2),
        ((BAD, UNSAFE), 2, "conflict", 2, 2),
        ((EASY, HARD), 3, "pending", 2, 3),
        ((EASY, HARD, EASY), 3, "conflict", 3, 3),
    ],
)
def test_decisions_come_to_a_state(kinds, reviewers, state, opinions, needed):
    found = outcome(said(*kinds), referee_verdict=HARD, reviewers=reviewers)

    assert (found.state, found.opinions, found.opinions_needed) == (state, opinions, needed)
    assert bool(found.decided) is (state in ("confirmed", "overridden"))


@pytest.mark.parametrize(("resolution", "state"), [(HARD, "confirmed"), (EASY, "overridden"), (DOUBLE, "overridden")])
def test_a_resolution_ends_a_conflict_and_counts_alone(resolution, state):
    found = outcome(said(HARD, EASY, resolution=resolution), referee_verdict=HARD, reviewers=2)

    assert (found.state, found.decided.person_id, found.opinions) == (state, 99, 2)


def test_an_item_outside_the_queue_goes_back_there():
    assert outcome([], referee_verdict=EASY, reviewers=1, in_queue=False).state == ""


def test_of_two_corrections_the_last_counts():
    first, second, third = said(WRONG, WRONG, WRONG)
    first.corrected_response_id, second.corrected_response_id = 7, 8

    assert outcome([first, second, third], referee_verdict=HARD, reviewers=3).corrected_response_id == 8


@pytest.fixture
def item(alice):
    settings = replace(make.SMALL, gates=GateSettings(review="require", approval="skip"))
    experiment = make.make_experiment(alice, settings=settings)
    iteration = make.finish_iteration(experiment)
    make.queue_up(iteration.classifications.filter(pool="cache"))
    return iteration.classifications.filter(pool="cache", referee_verdict=HARD).first()


def settle(item):
    settle_held([type(item).objects.select_related("iteration__experiment").get(pk=item.pk)])
    item.refresh_from_db()


def decision(item, person, kind, **values):
    made = Decision.objects.create(classification=item, person=person, kind=kind, **values)
    settle(item)
    return made


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [(HARD, HARD), (EASY, EASY), *((kind, "unscored") for kind in (WRONG, BAD, DOUBLE, UNSAFE))],
)
def test_the_verdict_of_the_people_stands_beside_the_referees(item, bob, kind, verdict):
    decision(item, bob, kind, comment="Because.")

    assert (item.person_kind, item.person_verdict, item.verdict, item.referee_verdict) == (kind, verdict, verdict, HARD)
    assert (item.person, item.person_reason) == (bob, "Because.")
    assert item.person_at is not None


def test_what_is_taken_back_leaves_nothing(item, bob):
    made = decision(item, bob, EASY, comment="Because.")
    Decision.objects.filter(pk=made.pk).update(undone_at=made.created_at)

    settle(item)

    assert (item.review_state, item.verdict, item.opinions) == ("pending", HARD, 0)
    assert (item.person, item.person_kind, item.person_verdict, item.person_at) == (None, "", None, None)
    assert item.person_reason == ""


def test_a_closed_item_stays_as_it_is(item, bob):
    type(item).objects.filter(pk=item.pk).update(review_state="closed")

    decision(item, bob, EASY)

    assert (item.review_state, item.verdict) == ("closed", HARD)


class TestPools:
    @pytest.mark.parametrize("kind", [BAD, DOUBLE, UNSAFE])
    def test_an_excluded_instruction_leaves_the_pools_of_later_iterations(self, item, bob, kind):
        experiment = item.iteration.experiment
        decision(item, bob, kind)

        assert item.instruction in pools_of.cache_pool(experiment, 1)
        assert item.instruction in pools_of.train_pool(experiment, 1)
        assert item.instruction not in pools_of.cache_pool(experiment, 2)
        assert item.instruction not in pools_of.cache_and_heldout(experiment, 2)
        append_pool(experiment=experiment, iteration=2)
        assert item.instruction not in pools_of.train_pool(experiment, 2)
        assert pools_of.train_pool(experiment, 2).count() == 23 + 16

    @pytest.mark.parametrize("kind", [HARD, EASY, WRONG])
    def test_every_other_decision_leaves_it_there(self, item, bob, kind):
        decision(item, bob, kind)

        assert item.instruction in pools_of.cache_pool(item.iteration.experiment, 2)

    def test_taking_it_back_brings_it_back(self, item, bob):
        made = decision(item, bob, BAD)
        Decision.objects.filter(pk=made.pk).update(undone_at=made.created_at)

        settle(item)

        assert item.instruction in pools_of.cache_pool(item.iteration.experiment, 2)
        assert not Membership.objects.filter(until__isnull=False).exists()
