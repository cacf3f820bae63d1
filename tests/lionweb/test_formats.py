from datetime import timedelta

import pytest
from django.utils import timezone

from lionweb.templatetags import lionweb_format as write


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "–"),
        (float("inf"), "–"),
        (0, "0 s"),
        (0.42, "0.4 s"),
        (9.7, "9.7 s"),
        (59.6, "1 min"),
        (45, "45 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (7505, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (-3, "0 s"),
    ],
)
def test_durations_show_their_two_largest_units(seconds, expected):
    assert write.duration(seconds).replace("\u00a0", " ") == expected


@pytest.mark.parametrize(
    ("usd", "expected"),
    [(None, "–"), (0, "$0.00"), (0.00001, "<$0.0001"), (0.0042, "$0.0042"), (0.5, "$0.50"), (1234.5, "$1,234.50")],
)
def test_money_never_rounds_a_cost_to_nothing(usd, expected):
    assert write.money(usd) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(None, "–"), (0, "0"), (1234, "1,234"), (12_345, "12.3k"), (999_960, "1000k"), (1_500_000, "1.5M"), (2e9, "2B")],
)
def test_large_counts_are_shortened_to_three_digits(count, expected):
    assert write.short(count) == expected


@pytest.mark.parametrize(
    ("per_second", "expected"), [(None, "–"), (3.21, "3.21/s"), (0.5, "30/min"), (0.001, "3.6/h"), (141.4, "141/s")]
)
def test_rates_use_the_unit_in_which_they_are_at_least_one(per_second, expected):
    assert write.rate(per_second) == expected


def test_signs_are_true_minus_signs():
    assert write.signed(-0.31) == "−0.31"
    assert write.signed(0.31) == "+0.31"
    assert write.signed_percent(-0.55).replace("\u00a0", " ") == "−55 %"


@pytest.mark.parametrize("write_one", [write.decimal, write.signed])
def test_what_is_not_a_number_is_written_as_a_dash(write_one):
    assert write_one(None) == write_one(float("nan")) == "–"


def test_a_share_is_written_in_percent():
    assert write.percent(0.1234).replace("\u00a0", " ") == "12.3 %"


def test_memory_is_written_in_the_largest_fitting_unit():
    assert write.memory(2.5 * 2**30).replace("\u00a0", " ") == "2.5 GB"
    assert write.memory(12).replace("\u00a0", " ") == "12 bytes"


@pytest.mark.parametrize(
    ("back", "expected"),
    [(timedelta(seconds=1), "just now"), (timedelta(seconds=70), "1 min ago"), (timedelta(days=3), "3 d ago")],
)
def test_a_moment_is_written_by_its_distance_with_the_exact_time_beside(back, expected):
    written = write.ago(timezone.now() - back)
    assert expected in written.replace("\u00a0", " ")
    assert 'datetime="' in written


def test_machine_names_become_words():
    assert write.words("near_duplicate") == "near duplicate"
