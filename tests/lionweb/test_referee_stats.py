"""The figures of referee health, against values worked out by hand or from printed tables."""

import math
from statistics import fmean, stdev

import pytest

from lionweb.referee_stats import (
    FEWEST_DECISIONS,
    agreeing,
    best_threshold,
    mean,
    rank_correlation,
    slope,
    suggest,
    t_quantile,
)


@pytest.mark.parametrize(
    ("freedom", "printed"),
    [(1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (10, 2.2281), (30, 2.0423), (120, 1.9799)],
)
def test_the_t_quantile_is_that_of_the_printed_table(freedom, printed):
    assert t_quantile(freedom) == pytest.approx(printed, abs=2e-4)


def test_with_many_degrees_t_becomes_the_normal_quantile():
    assert t_quantile(1_000_000) == pytest.approx(1.95996, abs=1e-4)


class TestMean:
    def test_five_values(self):
        values = [1.0, 2.0, 4.0, 4.0, 9.0]

        found = mean(5, fmean(values), stdev(values))

        # Mean 4, standard deviation sqrt(38 / 4) = 3.0822, t(4) = 2.7764: 4 +- 3.8271.
        assert (found.value, found.n) == (4.0, 5)
        assert (found.low, found.high) == (pytest.approx(0.1729, abs=1e-3), pytest.approx(7.8271, abs=1e-3))

    def test_one_value_has_no_interval_and_none_has_no_value(self):
        assert (mean(1, 2.0, None).value, mean(1, 2.0, None).low) == (2.0, None)
        assert mean(0, None, None).value is None

    def test_equal_values_leave_no_width(self):
        assert mean(4, 2.0, 0.0).low == mean(4, 2.0, 0.0).high == 2.0


class TestSlope:
    # x 0 1 2 3, y 1 3 2 5: sxx 5, sxy 5.5, syy 8.75; slope 1.1; residuals 8.75 - 6.05 = 2.7, / 2 / 5 = 0.27.
    def test_four_points(self):
        found = slope(4, 5.0, 5.5, 8.75)

        half = 4.3027 * math.sqrt(0.27)
        assert found.value == pytest.approx(1.1)
        assert (found.low, found.high) == (pytest.approx(1.1 - half, abs=1e-3), pytest.approx(1.1 + half, abs=1e-3))

    def test_a_longer_step_scales_value_and_interval(self):
        one, two = slope(4, 5.0, 5.5, 8.75), slope(4, 5.0, 5.5, 8.75, per=2.0)

        assert (two.value, two.high) == (pytest.approx(2 * one.value), pytest.approx(2 * one.high))

    def test_points_on_a_line_leave_no_doubt(self):
        found = slope(3, 2.0, 4.0, 8.0)

        assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)

    @pytest.mark.parametrize("sums", [(0, None, None, None), (1, 0.0, 0.0, 0.0), (9, 0.0, 0.0, 3.0)])
    def test_without_spread_in_x_there_is_no_slope(self, sums):
        assert slope(*sums).value is None

    def test_two_points_have_a_slope_without_interval(self):
        assert (slope(2, 0.5, 0.5, 0.5).value, slope(2, 0.5, 0.5, 0.5).low) == (1.0, None)


def test_a_rank_correlation_of_a_half_among_28_pairs():
    # atanh(0.5) = 0.5493; error sqrt(1.125 / 25) = 0.2121; times 1.96 = 0.4158: tanh 0.1335 and 0.9651.
    found = rank_correlation(28, 0.5)

    assert (found.low, found.high) == (pytest.approx(0.1327, abs=1e-3), pytest.approx(0.7466, abs=1e-3))
    assert rank_correlation(3, 1.0).low is None
    assert rank_correlation(5, None).value is None


class TestThreshold:
    def test_it_parts_what_people_part(self):
        cells = {(0.0, False): 4, (1.0, False): 3, (2.0, True): 5, (3.0, True): 1}

        assert best_threshold(cells, 0.5) == 1.5
        assert agreeing(cells, 1.5) == 13
        assert agreeing(cells, 0.5) == 10

    def test_where_nothing_is_better_it_stays(self):
        assert best_threshold({(0.0, False): 4, (2.0, True): 5}, 1.0) == 1.0

    def test_a_gap_at_the_threshold_is_hard(self):
        assert agreeing({(1.0, True): 1}, 1.0) == 1

    def test_it_finds_the_best_of_all_by_trying_each(self):
        cells = {(gap / 2, hard): (gap * 7 + hard * 5) % 6 + 1 for gap in range(-6, 12) for hard in (True, False)}
        tried = max(agreeing(cells, tau / 4) for tau in range(-16, 32))

        assert agreeing(cells, best_threshold(cells, 9.0)) == tried

    def test_with_everything_easy_it_lies_above_all_gaps(self):
        assert best_threshold({(1.0, False): 3, (2.0, False): 3}, 1.0) > 2.0


class TestSuggestion:
    CELLS = {(0.0, False): 40, (1.0, False): 30, (1.0, True): 4, (2.0, True): 25, (2.0, False): 5}

    def test_it_says_how_well_it_would_agree_and_how_well_it_does_now(self):
        found = suggest(self.CELLS, 0.5, seed=3)

        assert found.tau == 1.5
        assert found.agreement.value == pytest.approx(95 / 104)
        assert found.agreement_now.value == pytest.approx(69 / 104)
        assert found.low <= found.tau <= found.high

    def test_the_same_seed_gives_the_same_interval(self):
        noisy = {(gap / 10, hard): 1 + (gap * 3 + hard) % 4 for gap in range(40) for hard in (True, False)}

        assert suggest(noisy, 1.0, seed=5) == suggest(noisy, 1.0, seed=5)
        assert suggest(noisy, 1.0, seed=5).low < suggest(noisy, 1.0, seed=5).high

    def test_too_few_decisions_suggest_nothing(self):
        few = {(0.0, False): FEWEST_DECISIONS - 2, (2.0, True): 1}

        assert suggest(few, 1.0, seed=0).tau is None
        assert suggest(few, 1.0, seed=0).n == FEWEST_DECISIONS - 1
        assert suggest({}, 1.0, seed=0).agreement_now.value is None

    def test_decisions_of_one_kind_suggest_nothing(self):
        assert suggest({(0.0, False): 200}, 1.0, seed=0).tau is None

    def test_certain_decisions_leave_a_narrow_interval(self):
        found = suggest({(0.0, False): 500, (0.9, False): 500, (1.1, True): 500}, 2.0, seed=0)

        assert (found.tau, found.low, found.high) == (1.0, 1.0, 1.0)
