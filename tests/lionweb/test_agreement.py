"""Agreement against published examples and hand-computed values."""

import random
from collections import Counter

import pytest

from lionweb.agreement import Z, cohen_kappa, fleiss_kappa, in_words, raw_agreement, share, wilson


def patterns(*items):
    """Items as words of one-letter labels: "aab" got a twice and b once."""
    return Counter(tuple(item) for item in items)


def matrix(rows):
    return {(i, j): count for i, row in enumerate(rows) for j, count in enumerate(row)}


def counts(rows):
    return patterns(*[[label for label, count in enumerate(row) for _ in range(count)] for row in rows])


PSYCHIATRISTS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
"""The worked example of the Wikipedia article "Fleiss' kappa": ten items, fourteen raters, five labels; kappa 0.210."""

FOUR_RATERS = patterns("111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3")
"""Krippendorff's reliability data (four observers, twelve units, gaps), which Gwet (2014) uses for all his coefficients."""


class TestWilson:
    @pytest.mark.parametrize(
        ("part", "n", "low", "high"),
        [
            (81, 263, 0.2553, 0.3662),  # Newcombe (1998), Table I, method 3
            (15, 148, 0.0624, 0.1605),
            (0, 20, 0.0000, 0.1611),
            (1, 29, 0.0061, 0.1718),
        ],
    )
    def test_published_intervals(self, part, n, low, high):
        assert wilson(part, n) == pytest.approx((low, high), abs=5e-5)

    def test_of_nothing_everything_is_possible(self):
        assert wilson(0, 0) == (0.0, 1.0)
        assert share(0, 0).value is None

    def test_the_ends_are_exact(self):
        assert wilson(0, 9)[0] == 0.0
        assert wilson(9, 9)[1] == 1.0

    def test_it_is_its_own_mirror_image(self):
        low, high = wilson(3, 40)

        assert wilson(37, 40) == pytest.approx((1 - high, 1 - low))


class TestCohen:
    def test_the_grants_of_the_textbooks(self):
        # Two readers, fifty proposals (Wikipedia, "Cohen's kappa"): observed 0.7, by chance 0.5.
        found = cohen_kappa({("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15})

        assert found.value == pytest.approx(0.4)
        assert found.n == 50

    def test_the_diagnoses_of_fleiss_levin_and_paik(self):
        # Statistical Methods for Rates and Proportions, Table 18.1: kappa 0.68.
        found = cohen_kappa(matrix([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))

        assert found.value == pytest.approx(0.6765, abs=1e-4)
        assert (found.high - found.value) / Z == pytest.approx(0.0877, abs=1e-4)

    def test_it_agrees_with_the_error_seen_in_repeated_draws(self):
        # The analytic error of one table against the spread of kappa over tables drawn from it.
        cells = matrix([[40, 9], [6, 45]])
        draw = random.Random(7)
        labels, weights = list(cells), list(cells.values())
        drawn = [cohen_kappa(Counter(draw.choices(labels, weights, k=100))).value for _ in range(600)]
        mean = sum(drawn) / len(drawn)
        spread = (sum((one - mean) ** 2 for one in drawn) / len(drawn)) ** 0.5

        found = cohen_kappa(cells)

        assert (found.high - found.low) / (2 * Z) == pytest.approx(spread, rel=0.12)

    def test_labels_that_only_one_of_them_gave(self):
        # By hand: observed 2/4; chance 3/4 x 2/4 + 0 + 0 = 3/8; kappa (4/8 - 3/8) / (5/8) = 1/5.
        found = cohen_kappa({("a", "a"): 2, ("a", "b"): 1, ("c", "b"): 1})

        assert found.value == pytest.approx(0.2)

    def test_the_order_of_the_raters_does_not_matter(self):
        table = {("a", "a"): 5, ("a", "b"): 3, ("b", "b"): 7, ("b", "a"): 1}

        assert cohen_kappa(table) == cohen_kappa({(b, a): n for (a, b), n in table.items()})

    def test_systematic_disagreement_is_below_zero(self):
        assert cohen_kappa({("a", "b"): 5, ("b", "a"): 5}).value == pytest.approx(-1.0)

    def test_no_item_and_no_variety_give_no_value(self):
        assert cohen_kappa({}).value is None
        assert cohen_kappa({("a", "a"): 30}).value is None

    def test_full_agreement_on_few_items_is_not_certainty(self):
        few = cohen_kappa({("a", "a"): 3, ("b", "b"): 3})
        many = cohen_kappa({("a", "a"): 300, ("b", "b"): 300})

        assert few.value == many.value == pytest.approx(1.0)
        assert few.low < 0.3 < 0.95 < many.low


class TestRawAgreement:
    def test_two_raters_give_a_plain_share_with_wilsons_interval(self):
        found = raw_agreement(patterns("aa", "bb", "ab", "aa"))

        assert found.value == 0.75
        assert (found.low, found.high) == wilson(3, 4)

    def test_each_item_counts_once_however_many_judged_it(self):
        # By hand: "aab" has one agreeing pair of three, "aa" one of one: (1/3 + 1) / 2.
        assert raw_agreement(patterns("aab", "aa")).value == pytest.approx(2 / 3)

    def test_items_with_one_rater_are_left_out(self):
        found = raw_agreement(patterns("a", "b", "aa"))

        assert (found.value, found.n) == (1.0, 1)

    def test_nothing_to_compare(self):
        assert raw_agreement(patterns("a", "b")).value is None
        assert raw_agreement({}).n == 0


class TestFleiss:
    def test_the_published_example_with_fourteen_raters(self):
        found = fleiss_kappa(counts(PSYCHIATRISTS))

        assert found.value == pytest.approx(0.210, abs=5e-4)
        assert raw_agreement(counts(PSYCHIATRISTS)).value == pytest.approx(0.378, abs=5e-4)

    def test_the_published_example_with_gaps(self):
        # Gwet (2014) and his package irrCAC: coefficient 0.76117, standard error 0.15302.
        found = fleiss_kappa(FOUR_RATERS)

        assert found.value == pytest.approx(0.76117, abs=1e-5)
        assert (found.value - found.low) / Z == pytest.approx(0.15302, abs=1e-5)
        assert found.high == 1.0
        assert found.n == 11

    def test_by_hand_with_two_and_three_raters(self):
        # Labels: a has (1 + 2/3 + 0) / 3 = 5/9, b 4/9; chance 41/81. Pairs: (1 + 1/3 + 1) / 3 = 63/81; (63 - 41) / 40.
        assert fleiss_kappa(patterns("aa", "aab", "bb")).value == pytest.approx(22 / 40)

    def test_only_the_pattern_counts_not_its_order(self):
        assert fleiss_kappa(patterns("aab", "bb", "aa")) == fleiss_kappa(patterns("baa", "bb", "aa"))

    def test_counts_weigh_like_repeated_items(self):
        once = Counter({("a", "a"): 3, ("a", "b"): 2, ("b", "b"): 4})

        assert fleiss_kappa(once) == fleiss_kappa(patterns(*["aa"] * 3, *["ab"] * 2, *["bb"] * 4))

    def test_no_pair_and_no_variety_give_no_value(self):
        assert fleiss_kappa(patterns("a", "b")).value is None
        assert fleiss_kappa(patterns("aa", "aaa")).value is None

    def test_random_raters_agree_by_chance_alone(self):
        draw = random.Random(3)
        found = fleiss_kappa(patterns(*["".join(draw.choices("abc", k=draw.choice((2, 3, 4)))) for _ in range(3000)]))

        assert abs(found.value) < 0.03
        assert found.low < 0 < found.high


@pytest.mark.parametrize(
    ("kappa", "word"),
    [(-0.2, "no better than chance"), (0.1, "slight"), (0.3, "fair"), (0.55, "moderate"), (0.7, "substantial"), (0.9, "almost perfect")],
)  # fmt: skip
def test_a_kappa_has_a_word(kappa, word):
    assert in_words(kappa) == word
