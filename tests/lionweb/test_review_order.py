"""Which judged instructions come into the review queue, and in which order."""

from collections import Counter
from dataclasses import replace

import pytest

from distill.settings import GateSettings
from lionweb.models import Classification, Instruction
from lionweb.stages.review_queue import queue_up
from tests.factories import SMALL


def row(number, gap, *, flipped=False, category="", pool="cache"):
    """An unsaved classification; `number` makes its content hash."""
    verdict = "unscored" if gap is None else "hard" if gap >= 1 else "easy"
    instruction = Instruction(text=str(number), category=category, content_hash=f"{number:064x}")
    return Classification(instruction=instruction, gap=gap, flipped=flipped, referee_verdict=verdict, pool=pool)


def queued(rows, policy="require", audit=0.0, topics=None, **gates):
    settings = replace(SMALL, gates=GateSettings(review=policy, review_audit_percent=audit, **gates))
    queue_up(rows, settings, Counter() if topics is None else topics)
    return sorted((one for one in rows if one.for_review), key=lambda one: one.queue_rank)


def test_unscored_then_flipped_then_closest_to_the_threshold():
    rows = [row(1, 4.0), row(2, 1.1), row(3, 0.2, flipped=True), row(4, None), row(5, 2.0)]

    found = queued(rows, topics=Counter({"": 10**9}))

    assert [one.instruction.text for one in found] == ["4", "3", "2", "5", "1"]


def test_the_first_of_a_topic_come_earlier_than_the_many_of_another():
    common = [row(n, 1.0 + n / 1000, category="common") for n in range(50)]
    rare = row(99, 6.0, category="rare")

    found = queued([*common, rare])

    assert found.index(rare) < 5


def test_a_topic_that_was_queued_before_is_not_new_again():
    rare = row(99, 6.0, category="rare")
    common = [row(n, 1.5, category="common") for n in range(5)]

    found = queued([rare, *common], topics=Counter({"rare": 1000, "common": 0}))

    assert found[-1] is rare


def test_a_bonus_never_lifts_a_scored_item_before_a_flipped_one_of_its_topic():
    found = queued([row(1, 1.0), row(2, 0.0, flipped=True), row(3, None)])

    assert [one.instruction.text for one in found] == ["3", "2", "1"]


@pytest.mark.parametrize(("policy", "count"), [("require", 3), ("skip", 0)])
def test_the_policy_says_who_is_asked_about(policy, count):
    rows = [row(1, 4.0), row(2, 0.2), row(3, 0.2, flipped=True), row(4, None)]

    assert len(queued(rows, policy)) == count
    assert all(one.review_state == ("pending" if one.for_review else "") for one in rows)


@pytest.mark.parametrize("policy", ["sample", "require"])
def test_the_audit_slice_is_drawn_whatever_the_policy_and_the_referee(policy):
    rows = [row(n, 0.0) for n in range(4000)]

    found = queued(rows, policy, audit=5.0, review_sample_percent=0)

    audited = [one for one in found if one.audit_slice]
    assert found == sorted(audited, key=lambda one: one.queue_rank)
    assert 150 < len(audited) < 250


def test_without_a_review_nothing_is_audited():
    assert not queued([row(n, 0.0) for n in range(500)], "skip", audit=50.0)


def test_the_held_out_set_is_never_asked_about():
    assert not queued([row(n, None, pool="heldout") for n in range(50)], audit=100.0)


def test_the_audit_slice_is_spread_evenly_through_the_queue():
    rows = [row(n, 1.0 + n / 1000, category=str(n % 7)) for n in range(4000)]

    found = queued(rows, audit=10.0)

    places = [place for place, one in enumerate(found) if one.audit_slice]
    quarters = Counter(4 * place // len(found) for place in places)
    assert all(60 < quarters[quarter] < 140 for quarter in range(4))


def test_the_audit_slice_is_another_draw_than_the_sample():
    rows = [row(n, 0.0) for n in range(4000)]

    queued(rows, "sample", audit=20.0, review_sample_percent=20.0)

    both = sum(one.audit_slice for one in rows) / sum(one.for_review for one in rows)
    assert 0.45 < both < 0.65


def test_the_order_does_not_depend_on_when_rows_came():
    rows = [row(n, n / 100) for n in range(300)]
    first = {one.instruction.text: one.queue_rank for one in queued(rows, audit=10.0)}

    again = {one.instruction.text: one.queue_rank for one in queued(rows[::-1], audit=10.0)}

    assert first == again


def test_as_many_opinions_are_asked_for_as_the_experiment_wants():
    assert queued([row(1, None)], reviewers_per_item=3)[0].opinions_needed == 3
