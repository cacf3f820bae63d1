"""Numbers made ready for drawing: smoothing, thinning and histograms. Pure functions; colours are the page's business."""

import math
from collections.abc import Sequence

BINS_PER_POINT = 20
"""Gaps are counted in bins of 0.05, fine enough to move the threshold without a new query."""

EDGE = 1e-9
"""Added before rounding down: a gap on an edge belongs to the bin above, as a gap equal to tau is hard."""


def smooth(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average without the bias of its start; not-a-number is passed over."""
    smoothed, mean, mass = [], 0.0, 0.0
    for value in values:
        if math.isfinite(value):
            mean = weight * mean + (1 - weight) * value
            mass = weight * mass + (1 - weight)
        smoothed.append(mean / mass if mass else value)
    return smoothed


def thin(length: int, most: int) -> list[int]:
    """Indices of at most `most` items spread evenly over `length`, the first and the last among them."""
    if length <= most:
        return list(range(length))
    return sorted({round(place * (length - 1) / (most - 1)) for place in range(most)})


def weight_for(length: int) -> float:
    """How strongly to smooth a curve of so many points: short ones hardly, long ones by up to 0.98."""
    return min(0.98, max(0.5, 1 - 8 / max(1, length)))


def fill_bins(counts: dict[int, int]) -> tuple[int, list[int]]:
    """The first bin's number and the counts from there to the last one, with zeros between."""
    if not counts:
        return 0, []
    first, last = min(counts), max(counts)
    return first, [counts.get(number, 0) for number in range(first, last + 1)]
