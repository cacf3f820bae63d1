"""Verdicts come from usable scores of every order, or not at all."""

import random

import pytest

from distill.discrimination import judge, seed_sets
from distill.records import Difficulty, Review, Verdict


def review(order, teacher, student):
    return Review("k", order, "", teacher, student)


def both(first, second):
    return [review("teacher_first", *first), review("student_first", *second)]


def test_the_gap_is_the_difference_of_the_means_over_both_orders():
    judgement = judge(both((9, 5), (7, 6)), 1.0, orders_needed=2)

    assert (judgement.score_teacher, judgement.score_student, judgement.gap) == (8, 5.5, 2.5)
    assert judgement.verdict is Verdict.HARD


@pytest.mark.parametrize(
    ("teacher", "student", "verdict"),
    [
        (8, 7, Verdict.HARD),  # exactly tau
        (8, 7.5, Verdict.EASY),
        (7, 7, Verdict.EASY),
        (5, 9, Verdict.EASY),
        (8.3, 7.3, Verdict.HARD),  # 8.3 - 7.3 is a hair off 1 in floats
        (9.1, 8.1, Verdict.HARD),
        (4.4, 3.4, Verdict.HARD),
        (2.2, 1.2, Verdict.HARD),
    ],
)
def test_hard_begins_at_tau(teacher, student, verdict):
    assert judge(both((teacher, student), (teacher, student)), 1.0, orders_needed=2).verdict is verdict


def test_another_tau_moves_the_border():
    reviews = both((8, 6), (8, 6))

    assert judge(reviews, 2.0, orders_needed=2).verdict is Verdict.HARD
    assert judge(reviews, 2.5, orders_needed=2).verdict is Verdict.EASY


@pytest.mark.parametrize(
    "reviews",
    [
        [],
        [review("teacher_first", 8, 7)],
        [review("teacher_first", 8, 7), review("student_first", None, None)],
        [review("teacher_first", None, None), review("student_first", None, None)],
        [review("teacher_first", 8, 7), review("teacher_first", 9, 6)],
    ],
)
def test_a_pair_without_usable_scores_in_both_orders_is_unscored(reviews):
    judgement = judge(reviews, 1.0, orders_needed=2)

    assert judgement.verdict is Verdict.UNSCORED
    assert judgement.score_teacher is judgement.score_student is judgement.gap is None
    assert judgement.flipped is False


def test_a_review_that_was_asked_again_and_read_makes_up_for_the_unreadable_one():
    reviews = [review("teacher_first", None, None), review("student_first", 8, 6), review("teacher_first", 9, 7)]

    assert judge(reviews, 1.0, orders_needed=2).gap == 2


def test_of_two_usable_reviews_for_an_order_the_last_counts():
    reviews = [*both((9, 1), (9, 7)), review("teacher_first", 9, 7)]

    assert judge(reviews, 1.0, orders_needed=2).gap == 2


def test_likelihood_needs_one_review():
    assert judge([review("none", 6.5, 3.25)], 1.0, orders_needed=1).gap == 3.25


def test_an_unscored_likelihood_review_is_unscored():
    assert judge([review("none", None, None)], 1.0, orders_needed=1).verdict is Verdict.UNSCORED


@pytest.mark.parametrize(
    ("first", "second", "flipped"),
    [
        ((9, 5), (5, 9), True),
        ((9, 5), (8, 7), False),
        ((5, 9), (5, 6), False),
        ((9, 5), (7, 7), False),
        ((7, 7), (7, 7), False),
    ],
)
def test_flipped_says_that_the_orders_name_different_winners(first, second, flipped):
    assert judge(both(first, second), 1.0, orders_needed=2).flipped is flipped


def test_seed_sets_hold_hard_and_easy_and_never_unscored_in_an_order_of_their_own():
    verdicts = {"c": Verdict.HARD, "a": Verdict.HARD, "b": Verdict.EASY, "d": Verdict.UNSCORED}
    shuffled = list(verdicts.items())
    random.Random(1).shuffle(shuffled)

    assert seed_sets(verdicts) == {Difficulty.HARD: ["a", "c"], Difficulty.EASY: ["b"]}
    assert seed_sets(dict(shuffled)) == seed_sets(verdicts)


def test_seed_sets_take_verdicts_as_plain_text():
    assert seed_sets({"a": "hard"})[Difficulty.HARD] == ["a"]
