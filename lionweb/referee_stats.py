"""How sure a mean, a slope or a threshold is. Pure functions of sums and counts; intervals are of 95 %.

Sources: Student's t by Hill (1970, CACM algorithm 396); slopes by ordinary least squares; rank correlations with the
standard error of Bonett and Wright (2000) after Fisher's transformation; the bootstrap by Efron (1979), drawn by Poisson
counts (Hanley and MacGibbon 2006). Shares come from lionweb/agreement.py (Wilson).
"""

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from lionweb.agreement import Estimate, Z, share

FEWEST_DECISIONS = 30
"""Below so many decisions no threshold is suggested: its interval would span most of the scale."""
RESAMPLES = 400
GAP_DIGITS = 2
"""Gaps are rounded so far for the suggestion: a threshold in hundredths of a point is as fine as a person sets it."""

Cell = tuple[float, bool]
"""A gap, and whether people called its instruction hard."""


def t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with so many degrees of freedom; good to four digits."""
    if freedom < 1:
        return math.inf
    tail = 0.05  # both tails together
    if freedom == 1:
        return 1 / math.tan(tail * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (tail * (2 - tail)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / (a * a)
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * tail) ** (2 / freedom)
    if y > 0.05 + a:
        x = -Z
        y = x * x
        c += 0.3 * (freedom - 4.5) * (x + 0.6) if freedom < 5 else 0
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) + 0.5 / (freedom + 4)) * y
            - 1
        ) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.sqrt(freedom * y)


def nothing(n: int = 0) -> Estimate:
    return Estimate(None, None, None, n)


def mean(n: int, average: float | None, deviation: float | None) -> Estimate:
    """Of n values with this average and sample standard deviation. A single value has no interval."""
    if not n or average is None:
        return nothing(n)
    if n < 2 or deviation is None:
        return Estimate(average, None, None, n)
    half = t_quantile(n - 1) * deviation / math.sqrt(n)
    return Estimate(average, average - half, average + half, n)


def slope(n: int, sxx: float | None, sxy: float | None, syy: float | None, *, per: float = 1.0) -> Estimate:
    """Least-squares slope of y on x from the centred sums of squares and products, for a step of `per` in x.

    Without a value where x does not vary; without an interval below three points.
    """
    if n < 2 or sxx is None or sxy is None or syy is None or sxx <= 0:
        return nothing(n)
    value = sxy / sxx
    if n < 3:
        return Estimate(value * per, None, None, n)
    left = max(0.0, syy - value * sxy)
    half = t_quantile(n - 2) * math.sqrt(left / (n - 2) / sxx)
    return Estimate(value * per, (value - half) * per, (value + half) * per, n)


def rank_correlation(n: int, value: float | None) -> Estimate:
    """Spearman's coefficient, given its value; without an interval below four pairs."""
    if value is None or not math.isfinite(value):
        return nothing(n)
    if n < 4:
        return Estimate(value, None, None, n)
    half = Z * math.sqrt((1 + value * value / 2) / (n - 3))
    inside = math.atanh(max(-1 + 1e-9, min(1 - 1e-9, value)))
    return Estimate(value, math.tanh(inside - half), math.tanh(inside + half), n)


@dataclass(frozen=True)
class Suggestion:
    """The threshold under which the referee's verdicts agree best with people's.

    `tau` None: too few decisions, or all of one kind. `low` and `high`: where resampled decisions put it, 95 %.
    """

    n: int
    tau: float | None
    low: float | None
    high: float | None
    agreement: Estimate
    agreement_now: Estimate


def suggest(decisions: Mapping[Cell, int], now: float, *, seed: int, resamples: int = RESAMPLES) -> Suggestion:
    """From how often people called a gap hard (True) or easy (False). A wrong hard costs as much as a wrong easy.

    Equally good thresholds: the one nearest to `now`, so that nothing is moved without a gain. The agreement at the
    suggested one is found on the very decisions that chose it, so it is rather better than it will be on new ones.
    """
    cells: Counter[Cell] = Counter()
    for (gap, hard), count in decisions.items():
        cells[round(gap, GAP_DIGITS), hard] += count
    n = sum(cells.values())
    at_now = share(agreeing(cells, now), n)
    if n < FEWEST_DECISIONS or len({hard for (_, hard), count in cells.items() if count}) < 2:
        return Suggestion(n, None, None, None, nothing(n), at_now)
    tau = best_threshold(cells, now)
    source = random.Random(seed)
    found = sorted(best_threshold(_resampled(cells, source), now) for _ in range(resamples))
    low, high = found[int(0.025 * (resamples - 1))], found[math.ceil(0.975 * (resamples - 1))]
    return Suggestion(n, tau, min(low, tau), max(high, tau), share(agreeing(cells, tau), n), at_now)


def agreeing(cells: Mapping[Cell, int], tau: float) -> int:
    """Decisions with which the threshold agrees: hard where the gap is at least tau, else easy."""
    return sum(count for (gap, hard), count in cells.items() if (gap >= tau) == hard)


def best_threshold(cells: Mapping[Cell, int], now: float) -> float:
    """Between two neighbouring gaps, or `now` itself where nothing is better."""
    hard, easy = _by_gap(cells)
    gaps = sorted({*hard, *easy})
    if not gaps:
        return now
    right = sum(hard.values())  # a threshold below all gaps calls everything hard
    found = [(right, gaps[0])]
    for gap, following in zip(gaps, [*gaps[1:], gaps[-1] + 1.0], strict=True):
        right += easy[gap] - hard[gap]
        found.append((right, round((gap + following) / 2, GAP_DIGITS + 1)))
    best = max(found)[0]
    if agreeing(cells, now) == best:
        return now
    return min((tau for right, tau in found if right == best), key=lambda tau: (abs(tau - now), tau))


def _by_gap(cells: Mapping[Cell, int]) -> tuple[Counter[float], Counter[float]]:
    hard: Counter[float] = Counter()
    easy: Counter[float] = Counter()
    for (gap, is_hard), count in cells.items():
        (hard if is_hard else easy)[gap] += count
    return hard, easy


def _resampled(cells: Mapping[Cell, int], source: random.Random) -> Counter[Cell]:
    return Counter({cell: _poisson(count, source) for cell, count in sorted(cells.items())})


def _poisson(expected: int, source: random.Random) -> int:
    """By products of uniform numbers (Knuth); for larger ones by the normal curve that it comes close to."""
    if expected > 30:
        return max(0, round(source.gauss(expected, math.sqrt(expected))))
    limit, product, drawn = math.exp(-expected), source.random(), 0
    while product > limit:
        product *= source.random()
        drawn += 1
    return drawn
