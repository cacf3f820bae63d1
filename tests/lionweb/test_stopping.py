"""When the page says to stop, and what it says that rests on."""

import pytest

from lionweb.agreement import wilson
from lionweb.stopping import Advice, AuditSlice, items_needed, stopping


def advise(drawn, decided, wrong, unseen=1000, limit=5.0):
    return stopping(AuditSlice(drawn, decided, wrong), unseen=unseen, limit_percent=limit)


def test_few_errors_among_many_items_allow_to_stop_and_the_sentence_says_why():
    found = advise(drawn=200, decided=200, wrong=3)

    assert found.advice == Advice.STOP
    assert found.sentence == "You can stop."
    assert "People overrode 3 of 200 randomly drawn verdicts (1.5 %)" in found.reason
    assert "at most 4.3 %" in found.reason
    assert "The limit is 5 %" in found.reason


def test_the_wrong_verdicts_left_are_the_rate_times_what_nobody_decided():
    found = advise(drawn=100, decided=100, wrong=10, unseen=400)

    low, high = wilson(10, 100)
    assert found.left.value == pytest.approx(40)
    assert (found.left.low, found.left.high) == pytest.approx((400 * low, 400 * high))


def test_too_few_audited_items_name_how_many_more():
    found = advise(drawn=100, decided=20, wrong=0)

    assert found.advice == Advice.MORE
    assert found.sentence == "Decide about 53 more items of the random slice."


def test_without_an_error_seventy_three_items_show_less_than_five_percent():
    # 0 of n has the upper bound z2 / (n + z2): 3.8415 / (n + 3.8415) <= 0.05 from n = 73 on.
    assert items_needed(AuditSlice(100, 0, 0), 0.05) == 73
    assert advise(100, 73, 0).advice == Advice.STOP
    assert advise(100, 72, 0).advice == Advice.MORE
    assert advise(100, 72, 0).sentence == "Decide about 1 more item of the random slice."


def test_nothing_decided_yet_is_no_evidence():
    found = advise(drawn=100, decided=0, wrong=0)

    assert found.advice == Advice.MORE
    assert found.left.value is None
    assert "Nobody has decided an item of the random slice yet." in found.reason


def test_a_slice_that_is_too_small_is_told():
    found = advise(drawn=30, decided=30, wrong=0)

    assert found.advice == Advice.MORE
    assert found.sentence == (
        "It would take 43 more items of the random slice, and only 0 are left in it: go on through the queue."
    )


def test_far_too_many_errors_say_go_on():
    found = advise(drawn=200, decided=100, wrong=30)

    assert found.advice == Advice.GO_ON
    assert "leaves fewer wrong ones" in found.reason


def test_a_rate_at_the_limit_promises_no_number_of_items():
    found = advise(drawn=200, decided=40, wrong=2)

    assert found.advice == Advice.MORE
    assert "no number of further items" in found.sentence


def test_without_a_slice_nothing_is_claimed():
    found = advise(drawn=0, decided=0, wrong=0)

    assert found.advice == Advice.UNKNOWN
    assert "No random slice was drawn" in found.reason


def test_with_everything_decided_there_is_nothing_to_estimate():
    assert advise(drawn=10, decided=10, wrong=5, unseen=0).advice == Advice.DONE


def test_a_limit_of_zero_can_never_be_shown():
    assert items_needed(AuditSlice(100, 50, 0), 0.0) is None
    assert advise(100, 50, 0, limit=0).advice == Advice.MORE


@pytest.mark.parametrize(("decided", "wrong", "limit"), [(10, 0, 0.05), (50, 1, 0.05), (300, 9, 0.04), (2, 0, 0.5)])
def test_the_number_named_is_the_smallest_that_suffices(decided, wrong, limit):
    more = items_needed(AuditSlice(10_000, decided, wrong), limit)
    rate = wrong / decided

    assert wilson(wrong + rate * more, decided + more)[1] <= limit
    assert wilson(wrong + rate * (more - 1), decided + more - 1)[1] > limit
