"""Applying another threshold: verdicts follow from stored gaps, people's decisions stay, the queue follows its rules."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from distill.discrimination import judge
from distill.errors import SettingsError
from distill.records import Review as EngineReview
from lionweb.models import (
    AuditEvent,
    Membership,
    ModelCall,
    ReviewState,
    StageEvent,
    StageKind,
    StageStatus,
)
from lionweb.services import gates
from lionweb.services.advance import advance
from lionweb.services.errors import Refused
from lionweb.services.review_locks import take
from lionweb.services.settling import settle_held
from lionweb.services.thresholds import apply_threshold
from lionweb.stages.candidates import Round
from lionweb.stages.review_queue import queue_up
from tests import factories as make
from tests import review_factories as review

pytestmark = pytest.mark.django_db
GAPS = [2.0, 1.6, 1.2, 1.0, 0.8, 0.4, -1.0, None]


def require_iteration(owner, gaps=GAPS, policy="require", **gates_):
    """Judged and queued as the pipeline does it."""
    iteration = review.waiting_iteration(owner, items=0, review=policy, review_audit_percent=0, **gates_)
    instructions = make.make_instructions(len(gaps))
    experiment = iteration.experiment
    make.add_members(experiment, "cache", instructions)
    rows = make.classify(iteration, iteration.checkpoint, instructions, gaps)
    queue_up(rows, experiment.settings, Counter())
    for row in rows:
        row.save(update_fields=["for_review", "audit_slice", "review_state", "queue_rank", "opinions_needed"])
    return iteration


@pytest.fixture
def iteration(alice):
    return require_iteration(alice)


def apply(iteration, actor, tau):
    changed = apply_threshold(iteration=iteration, actor=actor, tau=tau)
    iteration.refresh_from_db()
    return changed


def fields(iteration, name):
    return list(iteration.classifications.order_by("pk").values_list(name, flat=True))


def test_verdicts_follow_from_the_stored_gaps(iteration, alice):
    assert apply(iteration, alice, 1.2) == 1
    assert fields(iteration, "referee_verdict") == ["hard"] * 3 + ["easy"] * 4 + ["unscored"]
    assert iteration.tau == 1.2
    assert apply(iteration, alice, -1.0) == 4
    assert fields(iteration, "referee_verdict") == ["hard"] * 7 + ["unscored"]


def test_a_gap_of_exactly_the_threshold_is_hard_as_for_the_engine(alice):
    reviews = [EngineReview("", order, "", 8.3, 7.3) for order in ("teacher_first", "student_first")]
    gap = judge(reviews, 1.0, orders_needed=2).gap
    iteration = require_iteration(alice, [gap, gap + 0.1])
    assert apply(iteration, alice, 1.05) == 1
    assert apply(iteration, alice, 1.0) == 1
    assert fields(iteration, "referee_verdict") == ["hard", "hard"]


def test_the_heldout_set_is_judged_by_it_too(iteration, alice):
    make.classify(iteration, iteration.checkpoint, make.make_instructions(1, start=20), [1.1], pool="heldout")
    apply(iteration, alice, 1.5)
    assert iteration.classifications.get(pool="heldout").referee_verdict == "easy"
    assert iteration.classifications.get(pool="heldout").for_review is False


def test_the_seeds_of_the_generation_follow(iteration, alice):
    apply(iteration, alice, 1.6)
    seeds = Round(iteration.stages.get(kind=StageKind.GENERATE)).seeds
    assert {kind.value: len(found) for kind, found in seeds.items()} == {"hard": 2, "easy": 5}


def test_peoples_decisions_stay_and_say_anew_who_was_overridden(iteration, alice, bob):
    items = review.items_of(iteration)
    review.say(items[2], bob, "hard")
    review.say(items[3], bob, "easy", comment="Hardly.")
    review.say(items[0], bob, "unsafe")
    assert Membership.objects.get(instruction=items[0].instruction).until == 1
    apply(iteration, alice, 1.4)
    states = fields(iteration, "review_state")
    assert (states[2], states[3], states[0]) == ("overridden", "confirmed", "overridden")
    assert fields(iteration, "verdict")[:4] == ["unscored", "hard", "hard", "easy"]
    assert Membership.objects.get(instruction=items[0].instruction).until == 1


@pytest.mark.parametrize("tau", [-2.0, 0.4, 0.9, 1.2, 1.7, 5.0])
@pytest.mark.parametrize("policy", ["require", "sample"])
def test_it_leaves_what_settling_every_item_again_would_leave(alice, bob, policy, tau):
    iteration = require_iteration(alice, policy=policy, review_sample_percent=100)
    items = review.items_of(iteration)
    for place, kind in ((0, "hard"), (1, "easy"), (2, "flag"), (3, "teacher_wrong"), (7, "skip")):
        review.say(items[place], bob, kind)
    apply(iteration, alice, tau)
    before = list(iteration.classifications.order_by("pk").values())
    with transaction.atomic():
        settle_held(list(iteration.classifications.select_related("iteration__experiment").order_by("pk")))
    assert list(iteration.classifications.order_by("pk").values()) == before


class TestQueue:
    def test_with_require_it_holds_what_it_would_hold_had_it_been_judged_so(self, iteration, alice):
        for tau in (0.5, 1.5, -3.0, 1.0):
            apply(iteration, alice, tau)
            rows = list(iteration.classifications.select_related("instruction").order_by("pk"))
            kept = [(row.for_review, row.review_state, pytest.approx(row.queue_rank)) for row in rows]
            for row in rows:
                row.queue_rank = 0.0
            queue_up(rows, iteration.experiment.settings, Counter(), tau=tau)
            waiting = [at for at, row in enumerate(rows) if row.for_review]
            assert [at for at, (queued, *_) in enumerate(kept) if queued] == waiting
            for at in waiting:
                assert kept[at] == (True, "pending", rows[at].queue_rank)

    def test_items_that_somebody_touched_or_has_open_stay(self, iteration, alice, bob):
        items = review.items_of(iteration)
        review.say(items[3], bob, "skip")
        review.say(items[2], bob, "flag")
        take(classification=items[1], person=bob)
        apply(iteration, alice, 5.0)
        assert fields(iteration, "for_review") == [False, True, True, True, False, False, False, True]
        assert fields(iteration, "review_state")[:4] == ["", "pending", "flagged", "skipped"]

    def test_with_sample_nobody_joins_and_nobody_leaves_but_the_order_changes(self, alice):
        iteration = require_iteration(alice, policy="sample", review_sample_percent=100)
        queued = fields(iteration, "for_review")
        apply(iteration, alice, -1.0)
        assert fields(iteration, "for_review") == queued
        order = list(iteration.classifications.exclude(gap=None).order_by("queue_rank").values_list("gap", flat=True))
        assert order[0] == -1.0

    def test_the_audit_slice_stays_between_the_others(self, iteration, alice):
        iteration.classifications.filter(gap=0.4).update(audit_slice=True, for_review=True, review_state="pending")
        apply(iteration, alice, 1.5)
        audited = iteration.classifications.get(audit_slice=True)
        others = iteration.classifications.filter(for_review=True, audit_slice=False)
        assert audited.for_review
        assert audited.queue_rank in others.values_list("queue_rank", flat=True)


class TestWhenItApplies:
    @pytest.mark.parametrize("done", [0, 3])
    def test_not_before_the_referee_is_through(self, alice, done):
        iteration = make.make_iteration(make.make_experiment(alice), done=done, current=StageStatus.RUNNING)
        with pytest.raises(Refused, match="not through"):
            apply(iteration, alice, 2.0)

    def test_not_once_the_generation_has_begun(self, alice):
        iteration = make.make_iteration(make.make_experiment(alice), done=5, current=StageStatus.RUNNING)
        with pytest.raises(Refused, match="Make a branch"):
            apply(iteration, alice, 2.0)

    def test_not_on_an_iteration_that_is_over(self, alice):
        iteration = make.finish_iteration(make.make_experiment(alice))
        before = fields(iteration, "referee_verdict")
        with pytest.raises(Refused):
            apply(iteration, alice, 2.0)
        assert fields(iteration, "referee_verdict") == before

    def test_between_a_closed_gate_and_the_generation_the_closed_items_stay_closed(self, alice, bob):
        iteration = require_iteration(alice, policy="sample", review_sample_percent=100)
        review.say(review.items_of(iteration)[3], bob, "hard")
        iteration.stages.filter(kind=StageKind.GENERATE).update(status=StageStatus.PAUSED)
        gates.close_review(stage=iteration.stages.get(kind=StageKind.REVIEW), actor=alice)
        apply(iteration, alice, 1.5)
        states = Counter(fields(iteration, "review_state"))
        assert states == {ReviewState.CLOSED: 7, ReviewState.OVERRIDDEN: 1}

    def test_a_closed_gate_that_requires_a_decision_on_each_lets_no_further_item_become_hard(self, alice, bob):
        iteration = require_iteration(alice, [2.0, 0.5])
        review.say(review.items_of(iteration)[0], bob, "hard")
        iteration.stages.filter(kind=StageKind.GENERATE).update(status=StageStatus.PAUSED)
        gates.close_review(stage=iteration.stages.get(kind=StageKind.REVIEW), actor=alice)
        with pytest.raises(Refused, match="1 more item would be hard"):
            apply(iteration, alice, 0.2)
        assert fields(iteration, "referee_verdict") == ["hard", "easy"]
        assert apply(iteration, alice, 3.0) == 1

    @pytest.mark.parametrize("tau", [9.1, -9.1, float("nan"), float("inf")])
    def test_not_by_a_threshold_that_no_experiment_may_have(self, iteration, alice, tau):
        with pytest.raises(SettingsError):
            apply(iteration, alice, tau)

    def test_the_same_threshold_again_says_so(self, iteration, alice):
        with pytest.raises(Refused, match="already"):
            apply(iteration, alice, 1.0)


def test_what_was_done_is_audited_and_logged_and_costs_nothing(iteration, alice):
    apply(iteration, alice, 1.4)
    event = AuditEvent.objects.get(action="threshold.apply")
    assert (event.actor, event.experiment_id) == (alice, iteration.experiment_id)
    assert event.detail == {"before": 1.0, "after": 1.4, "changed": 2, "iteration": 1}
    line = StageEvent.objects.filter(stage__iteration=iteration, stage__kind=StageKind.JUDGE).last()
    assert line.message == "Threshold moved from 1 to 1.4; 2 verdicts of the referee changed."
    assert not ModelCall.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_people_who_save_at_the_same_time_lose_nothing(alice, bob, monkeypatch):
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)
    gaps = [0.5 + 0.1 * place for place in range(20)]
    iteration = require_iteration(alice, gaps, policy="sample", review_sample_percent=100)
    items = review.items_of(iteration)

    def move():
        for tau in (1.5, 0.7, 2.2, 0.9, 1.1):
            apply_threshold(iteration=iteration, actor=alice, tau=tau)

    def say():
        for item in items:
            review.say(item, bob, "hard" if item.pk % 2 else "easy")

    def look():
        for _ in range(10):
            advance(iteration.pk)

    with ThreadPoolExecutor() as threads:
        done = [threads.submit(_and_close, work) for work in (move, say, look)]
    for one in done:
        one.result()
    rows = list(iteration.classifications.order_by("pk"))
    assert all(row.person_kind == ("hard" if row.pk % 2 else "easy") for row in rows)
    assert all(row.referee_verdict == ("hard" if row.gap >= 1.1 else "easy") for row in rows)
    assert all((row.review_state == "confirmed") == (row.person_kind == row.referee_verdict) for row in rows)


def _and_close(work):
    try:
        work()
    finally:
        connection.close()
