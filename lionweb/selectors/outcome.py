"""What an experiment achieved, read back from the database: the JSON of `./lion demo --json` and `./lion iterate`."""

from typing import Any

from django.db.models import Avg, Count, Sum

from lionweb.models import Checkpoint, Classification, Experiment, Iteration, ModelCall


def outcome_of(experiment: Experiment) -> dict[str, Any]:
    """The whole experiment, and under "per_iteration" each iteration by itself.

    Losses are mean token losses in nats, gaps are referee points, seconds are by stage, counts of the last iteration
    stand at the top.
    """
    iterations = list(experiment.iterations.order_by("number"))
    rows = [iteration_outcome(iteration) for iteration in iterations]
    first, last = (rows[0], rows[-1]) if rows else ({}, {})
    return {
        "experiment": experiment.name,
        "teacher": experiment.endpoint.model,
        "student": experiment.settings.student.base,
        "iterations": len(rows),
        "status": last.get("status", "draft"),
        "heldout_loss_before": first.get("heldout_loss_before"),
        "heldout_loss_after": last.get("heldout_loss_after"),
        "heldout_gap_before": first.get("heldout_gap_before"),
        "heldout_gap_after": last.get("heldout_gap_after"),
        **{name: last.get(name, 0) for name in ("hard", "easy", "unscored", "generated", "accepted")},
        "rejected": last.get("rejected", {}),
        "seconds": _added(rows),
        **_bill(experiment),
        "per_iteration": rows,
    }


def iteration_outcome(iteration: Iteration) -> dict[str, Any]:
    checkpoint = Checkpoint.objects.filter(iteration=iteration).first()
    metrics = checkpoint.metrics if checkpoint else {}
    verdicts = dict(
        iteration.classifications.filter(pool="cache").values_list("verdict").annotate(n=Count("pk")).order_by()
    )
    judged = iteration.candidates.filter(judged=True)
    rejected = judged.exclude(rejected="").values_list("rejected").annotate(n=Count("pk")).order_by("-n")
    return {
        "number": iteration.number,
        "status": _status(iteration),
        "heldout_loss_before": metrics.get("heldout_loss_before"),
        "heldout_loss_after": metrics.get("heldout_loss_after"),
        "heldout_gap_before": _gap_before(iteration),
        "heldout_gap_after": _heldout_gap(checkpoint),
        **{name: verdicts.get(name, 0) for name in ("hard", "easy", "unscored")},
        "generated": iteration.candidates.count(),
        "accepted": judged.filter(rejected="").count(),
        "rejected": dict(rejected),
        "seconds": {
            stage.kind: round((stage.finished_at - stage.started_at).total_seconds(), 2)
            for stage in iteration.stages.all()
            if stage.started_at and stage.finished_at
        },
    }


def _status(iteration: Iteration) -> str:
    if iteration.finished_at:
        return "succeeded"
    return iteration.stages.exclude(status="succeeded").order_by("position").values_list("status", flat=True)[0]


def _gap_before(iteration: Iteration) -> float | None:
    """Of the checkpoint that this iteration started from: the base in the first one."""
    before = Checkpoint.objects.filter(experiment=iteration.experiment, number=iteration.number - 1).first()
    return _heldout_gap(before)


def _heldout_gap(checkpoint: Checkpoint | None) -> float | None:
    """Mean gap over the held-out instructions that have scores, in referee points."""
    if checkpoint is None:
        return None
    rows = Classification.objects.filter(checkpoint=checkpoint, pool="heldout", gap__isnull=False)
    mean = rows.aggregate(mean=Avg("gap"))["mean"]
    return None if mean is None else round(mean, 4)


def _added(rows: list[dict[str, Any]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in rows:
        for stage, seconds in row["seconds"].items():
            total[stage] = round(total.get(stage, 0.0) + seconds, 2)
    return total


def _bill(experiment: Experiment) -> dict[str, Any]:
    paid = ModelCall.objects.filter(experiment=experiment, paid=True).aggregate(
        calls=Count("pk"), prompt=Sum("prompt_tokens"), completion=Sum("completion_tokens"), cost=Sum("cost_usd")
    )
    return {
        "paid_calls": paid["calls"],
        "tokens": {"prompt": paid["prompt"] or 0, "completion": paid["completion"] or 0},
        "cost_usd": round(paid["cost"] or 0.0, 6),
    }
