"""The gap without what the difference in length alone explains.

Referees tend to prefer longer answers (length-controlled AlpacaEval, Dubois et al. 2024). A line is fitted through the
scored pairs, raw gap on the difference in log length, and what it gives to a pair's difference is taken out. Two answers
of one length keep their gap: the adjustment is centred there, not on the mean difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from distill.discrimination import Judgement, gap_and_verdict


def length_difference(teacher: str, student: str) -> float:
    """Natural logarithm of the ratio of lengths in characters; an empty answer counts as one character."""
    return math.log(max(1, len(teacher)) / max(1, len(student)))


@dataclass
class LengthFit:
    """Least-squares slope of gap on difference in log length, in points per unit of the logarithm. Fed pair by pair."""

    n: int = 0
    mean_x: float = 0.0
    mean_y: float = 0.0
    sxx: float = 0.0
    sxy: float = 0.0

    def add(self, difference: float, gap: float) -> None:
        """Welford's update: large pools lose no digits."""
        self.n += 1
        dx, dy = difference - self.mean_x, gap - self.mean_y
        self.mean_x += dx / self.n
        self.mean_y += dy / self.n
        self.sxx += dx * (difference - self.mean_x)
        self.sxy += dx * (gap - self.mean_y)

    @property
    def slope(self) -> float:
        """0 below three pairs or without differences in length: then nothing is taken out."""
        return self.sxy / self.sxx if self.n >= 3 and self.sxx > 1e-12 else 0.0


def fitted_slope(points: Iterable[tuple[float, float]]) -> float:
    """points: difference in log length and raw gap of each scored pair, always in the same order."""
    fit = LengthFit()
    for difference, gap in points:
        fit.add(difference, gap)
    return fit.slope


def adjusted(judgement: Judgement, difference: float, slope: float, tau: float) -> Judgement:
    """The same scores with the adjusted gap and its verdict; unscored stays unscored."""
    if judgement.gap is None:
        return judgement
    gap, verdict = gap_and_verdict(judgement.gap - slope * difference, tau)
    return replace(judgement, gap=gap, verdict=verdict)
