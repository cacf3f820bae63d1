"""The length-adjusted gap, and the mean over several referees, against values worked out by hand."""

import math

import pytest

from distill.discrimination import UNSCORED, averaged, judge
from distill.length_adjustment import adjusted, fitted_slope, length_difference
from distill.records import Review, Verdict


def reviews(*scores, order=("teacher_first", "student_first")):
    return [Review("", o, "", *(s or (None, None))) for o, s in zip(order, scores, strict=True)]


def test_the_slope_is_that_of_least_squares():
    assert fitted_slope([(0.0, 1.0), (1.0, 3.0), (2.0, 2.0), (3.0, 5.0)]) == pytest.approx(1.1)


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(0.0, 0.0), (1.0, 5.0)], [(1.0, 0.0), (1.0, 2.0), (1.0, 4.0)]])
def test_too_few_pairs_or_equal_lengths_take_nothing_out(points):
    assert fitted_slope(points) == 0.0


def test_a_longer_answer_loses_what_its_length_explains():
    judged = judge(reviews((8, 6), (8, 6)), 1.0, orders_needed=2)

    found = adjusted(judged, length_difference("t" * 40, "s" * 20), 2.0, 1.0)

    assert found.gap == pytest.approx(2 - 2 * math.log(2), abs=1e-9)
    assert (found.verdict, found.score_teacher, found.score_student) == (Verdict.EASY, 8, 6)


def test_answers_of_one_length_keep_their_gap():
    judged = judge(reviews((8, 6), (8, 6)), 1.0, orders_needed=2)

    assert adjusted(judged, length_difference("same", "size"), 2.0, 1.0) == judged


def test_unscored_stays_unscored_and_an_empty_answer_has_a_length():
    assert adjusted(UNSCORED, 1.0, 2.0, 1.0) == UNSCORED
    assert length_difference("tt", "") == pytest.approx(math.log(2))


class TestSeveralReferees:
    def test_scores_are_averaged_order_by_order(self):
        found = averaged([reviews((8, 6), (7, 7)), reviews((6, 6), (9, 3))])

        assert [(one.order, one.score_teacher, one.score_student) for one in found] == [
            ("teacher_first", 7, 6),
            ("student_first", 8, 5),
        ]

    @pytest.mark.parametrize("other", [[], reviews((6, 6), None)])
    def test_a_referee_without_usable_scores_leaves_the_pair_unscored(self, other):
        found = averaged([reviews((8, 6), (7, 7)), other])

        assert judge(found, 1.0, orders_needed=2) == UNSCORED

    def test_the_last_usable_reply_of_an_order_counts(self):
        asked = [*reviews(None, (7, 7)), *reviews((8, 6), order=("teacher_first",))]

        assert averaged([asked])[0].score_teacher == 8
