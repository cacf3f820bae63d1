"""The numbers behind the charts of an experiment, as plain JSON values."""

from collections import defaultdict
from typing import Any

from django.db.models import Count, F, Q
from django.db.models.functions import Floor

from lionweb.charts import BINS_PER_POINT, EDGE, fill_bins, smooth, thin, weight_for
from lionweb.models import Checkpoint, Classification, Experiment, Iteration, MemberPool, MetricPoint, StageKind
from lionweb.selectors.iteration_numbers import heldout_gaps

MOST_POINTS = 1000
SMOOTHED = "loss"
Series = dict[str, list[float]]


def charts(experiment: Experiment, iteration: Iteration | None) -> dict[str, Any]:
    return {
        "training": training_curves(iteration) if iteration else {},
        "gaps": gap_histogram(iteration, iteration.tau) if iteration else {},
        "trends": trends(experiment),
    }


def training_curves(iteration: Iteration) -> dict[str, Series]:
    """By metric name: steps and values, thinned; the loss also smoothed, before the thinning."""
    points: dict[str, list[tuple[int, float]]] = defaultdict(list)
    rows = MetricPoint.objects.filter(stage__iteration=iteration, stage__kind=StageKind.TRAIN).order_by("step")
    for name, step, value in rows.values_list("name", "step", "value"):
        points[name].append((step, value))
    return {name: _curve(name, found) for name, found in points.items()}


def _curve(name: str, points: list[tuple[int, float]]) -> Series:
    kept = thin(len(points), MOST_POINTS)
    curve: Series = {"steps": [points[i][0] for i in kept], "values": [points[i][1] for i in kept]}
    if name == SMOOTHED:
        whole = smooth([value for _, value in points], weight_for(len(points)))
        curve["smooth"] = [whole[i] for i in kept]
    return curve


def gap_histogram(iteration: Iteration, tau: float) -> dict[str, Any]:
    """Counts of the Cache Pool's gaps in bins of 1 / BINS_PER_POINT, from bin `first` on."""
    rows = Classification.objects.filter(iteration=iteration, pool=MemberPool.CACHE)
    scored = rows.filter(gap__isnull=False)
    binned = (
        scored.annotate(bin=Floor(F("gap") * BINS_PER_POINT + EDGE)).order_by().values_list("bin").annotate(Count("pk"))
    )
    first, counts = fill_bins({int(number): count for number, count in binned})
    return {"first": first, "bins_per_point": BINS_PER_POINT, "counts": counts, "tau": tau}


def trends(experiment: Experiment) -> dict[str, Any]:
    """By checkpoint number the held-out loss and gap (0 is the base), by iteration the share of hard instructions."""
    return {
        "loss": _pairs(_losses(experiment)),
        "gap": _pairs(heldout_gaps(experiment.pk)),
        "hard_share": _pairs(_hard_shares(experiment)),
    }


def _losses(experiment: Experiment) -> dict[int, float]:
    found: dict[int, float] = {}
    trained = Checkpoint.objects.filter(experiment=experiment, number__gte=1).order_by("number")
    for number, metrics in trained.values_list("number", "metrics"):
        for place, name in ((number - 1, "heldout_loss_before"), (number, "heldout_loss_after")):
            if metrics.get(name) is not None:
                found.setdefault(place, metrics[name])
    return found


def _hard_shares(experiment: Experiment) -> dict[int, float]:
    """Of the scored instructions; those without a usable score say nothing about the student."""
    rows = Classification.objects.filter(iteration__experiment=experiment, pool=MemberPool.CACHE)
    counted = rows.exclude(verdict="unscored").order_by().values_list("iteration__number")
    found = counted.annotate(total=Count("pk"), hard=Count("pk", filter=Q(verdict="hard")))
    return {number: hard / total for number, total, hard in found}


def _pairs(values: dict[int, float]) -> dict[str, list[float]]:
    numbers = sorted(values)
    return {"x": [*numbers], "y": [values[number] for number in numbers]}
