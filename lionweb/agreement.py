"""How far people agree, and how sure a share is. Pure functions of counts; intervals are of 95 %.

Sources: Wilson (1927) for shares; Cohen (1960) with the standard error of Fleiss, Cohen and Everitt (1969); Fleiss (1971)
in the form of Gwet, Handbook of Inter-Rater Reliability (2014), which takes any number of raters an item.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

Z = NormalDist().inv_cdf(0.975)
Label = TypeVar("Label", bound=Hashable)
Labels = TypeVar("Labels", bound=tuple[Hashable, ...])


@dataclass(frozen=True)
class Estimate:
    """A value with its interval, from `n` items; None where the items do not tell."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def wilson(part: float, n: float) -> tuple[float, float]:
    """Interval of the share part / n; (0, 1) of nothing. `part` need not be whole."""
    if n <= 0:
        return 0.0, 1.0
    share, z2 = part / n, Z * Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends rounding would leave a hair.
    return (0.0 if part <= 0 else max(0.0, middle - half)), (1.0 if part >= n else min(1.0, middle + half))


def share(part: int, n: int) -> Estimate:
    low, high = wilson(part, n)
    return Estimate(part / n, low, high, n) if n else Estimate(None, None, None, 0)


def cohen_kappa(pairs: Mapping[tuple[Label, Label], int]) -> Estimate:
    """Agreement of two raters beyond chance, from how often the first said a and the second b.

    Without a value where both always gave one and the same label: then chance alone explains everything.
    """
    n = sum(pairs.values())
    if not n:
        return Estimate(None, None, None, 0)
    cells = {pair: count / n for pair, count in pairs.items() if count}
    rows, columns = _margins(cells)
    observed = sum(p for (a, b), p in cells.items() if a == b)
    chance = sum(p * columns.get(label, 0.0) for label, p in rows.items())
    if chance >= 1 - 1e-12:
        return Estimate(None, None, None, n)
    agreeing = sum(
        p * ((1 - chance) - (rows[a] + columns[a]) * (1 - observed)) ** 2 for (a, b), p in cells.items() if a == b
    )
    differing = sum(p * (columns.get(a, 0.0) + rows.get(b, 0.0)) ** 2 for (a, b), p in cells.items() if a != b)
    spread = agreeing + (1 - observed) ** 2 * differing - (observed * chance - 2 * chance + observed) ** 2
    error = math.sqrt(max(0.0, spread) / n) / (1 - chance) ** 2
    return _kappa(observed, chance, error, n)


def _margins(cells: Mapping[tuple[Label, Label], float]) -> tuple[dict[Label, float], dict[Label, float]]:
    rows: dict[Label, float] = {}
    columns: dict[Label, float] = {}
    for (a, b), p in cells.items():
        rows[a] = rows.get(a, 0.0) + p
        columns[b] = columns.get(b, 0.0) + p
    return rows, columns


def raw_agreement(items: Mapping[Labels, int]) -> Estimate:
    """Mean over the items of the share of its pairs of raters who agree, from how often each pattern occurs.

    A pattern is the labels that one item got, in any order: ("hard", "hard", "easy"). Items with fewer than two raters have no pairs and are left out.
    """
    pairs = [(_agreeing(pattern), count) for pattern, count in items.items() if len(pattern) >= 2]
    n = sum(count for _, count in pairs)
    if not n:
        return Estimate(None, None, None, 0)
    mean = sum(p * count for p, count in pairs) / n
    if all(p in (0.0, 1.0) for p, _ in pairs):
        low, high = wilson(mean * n, n)
    else:
        error = math.sqrt(sum(count * (p - mean) ** 2 for p, count in pairs) / max(1, n - 1) / n)
        low, high = max(0.0, mean - Z * error), min(1.0, mean + Z * error)
    return Estimate(mean, low, high, n)


def fleiss_kappa(items: Mapping[tuple[Label, ...], int]) -> Estimate:
    """Agreement of many raters beyond chance, from how often each pattern occurs.

    The number of raters may differ from item to item: each item counts once, whoever and however many judged it. An item
    with one rater tells how common a label is and nothing of agreement; leave such items out if they were chosen otherwise.
    """
    n = sum(items.values())
    paired = sum(count for pattern, count in items.items() if len(pattern) >= 2)
    if not paired:
        return Estimate(None, None, None, 0)
    shares = _label_shares(items, n)
    observed = sum(_agreeing(p) * count for p, count in items.items() if len(p) >= 2) / paired
    chance = sum(p * p for p in shares.values())
    if chance >= 1 - 1e-12:
        return Estimate(None, None, None, paired)
    error = math.sqrt(_fleiss_spread(items, shares, observed, chance) / max(1, n - 1) / n)
    return _kappa(observed, chance, error, paired)


def _fleiss_spread(
    items: Mapping[tuple[Label, ...], int], shares: Mapping[Label, float], observed: float, chance: float
) -> float:
    """Sum of squares of what each item adds to kappa (Gwet 2014, with all items drawn from a large population)."""
    n = sum(items.values())
    paired = sum(count for pattern, count in items.items() if len(pattern) >= 2)
    kappa, total = (observed - chance) / (1 - chance), 0.0
    for pattern, count in items.items():
        own = n / paired * (_agreeing(pattern) - chance) / (1 - chance) if len(pattern) >= 2 else 0.0
        own_chance = sum(shares[label] for label in pattern) / len(pattern)
        own -= 2 * (1 - kappa) * (own_chance - chance) / (1 - chance)
        total += count * (own - kappa) ** 2
    return total


def _label_shares(items: Mapping[tuple[Label, ...], int], n: int) -> dict[Label, float]:
    shares: dict[Label, float] = {}
    for pattern, count in items.items():
        for label in pattern:
            shares[label] = shares.get(label, 0.0) + count / len(pattern) / n
    return shares


def _agreeing(pattern: tuple[Hashable, ...]) -> float:
    """Share of the pairs within one item that are alike."""
    raters = len(pattern)
    alike = sum(count * (count - 1) for count in (pattern.count(label) for label in set(pattern)))
    return alike / (raters * (raters - 1))


def _kappa(observed: float, chance: float, error: float, n: int) -> Estimate:
    value = (observed - chance) / (1 - chance)
    low = value - Z * error
    if observed >= 1 - 1e-12:  # no spread among few items is no certainty: ask how low the raw agreement may be
        low = (wilson(n, n)[0] - chance) / (1 - chance)
    return Estimate(value, max(-1.0, low), min(1.0, value + Z * error), n)


WORDS = ((0.0, "no better than chance"), (0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))


def in_words(kappa: float) -> str:
    """The customary word (Landis and Koch 1977): a convention, not a test."""
    return next((word for limit, word in WORDS if kappa <= limit), "almost perfect")
