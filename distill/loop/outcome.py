"""What a run achieved, read back from its files. The keys are those that the web app reports too."""

from __future__ import annotations

from collections import Counter
from statistics import fmean
from typing import Any

from distill.loop.run import Run
from distill.loop.training import heldout_losses

RESULT = "result.json"
_COUNTS = ("hard", "easy", "unscored", "generated", "accepted")


def outcome_of(run: Run, iterations: int, status: str) -> dict[str, Any]:
    """The whole run, and under "per_iteration" each iteration by itself. The counts at the top are the last one's.

    Losses are mean token losses in nats, gaps are referee points, seconds are by stage.
    """
    begun = max((row["iteration"] for row in run.folder.stages.rows), default=0)
    rows = [_iteration(run, number, status) for number in range(1, min(begun, iterations) + 1)]
    first, last = (rows[0], rows[-1]) if rows else ({}, {})
    return {
        "experiment": run.folder.path.resolve().name,
        "teacher": run.calls.author.rpartition("@")[0],
        "student": run.settings.student.base,
        "iterations": len(rows),
        "status": status,
        "heldout_loss_before": first.get("heldout_loss_before"),
        "heldout_loss_after": last.get("heldout_loss_after"),
        "heldout_gap_before": first.get("heldout_gap_before"),
        "heldout_gap_after": last.get("heldout_gap_after"),
        **{name: last.get(name, 0) for name in _COUNTS},
        "rejected": last.get("rejected", {}),
        "seconds": _added(rows),
        **_bill(run),
        "per_iteration": rows,
    }


def _iteration(run: Run, number: int, status: str) -> dict[str, Any]:
    losses = heldout_losses(run, number)
    verdicts = Counter(
        row["verdict"] for row in run.folder.verdicts.rows if row["iteration"] == number and row["pool"] == "cache"
    )
    candidates = [row for row in run.folder.candidates.rows if row["iteration"] == number]
    rejected = Counter(row["rejected"] for row in candidates if row["rejected"])
    return {
        "number": number,
        "status": "succeeded" if is_finished(run, number) else status,
        "heldout_loss_before": losses.get("before"),
        "heldout_loss_after": losses.get("after"),
        "heldout_gap_before": _heldout_gap(run, number - 1),
        "heldout_gap_after": _heldout_gap(run, number),
        **{name: verdicts.get(name, 0) for name in ("hard", "easy", "unscored")},
        "generated": sum(row["iteration"] == number for row in run.folder.replies.rows),
        "accepted": sum(not row["rejected"] for row in candidates),
        "rejected": dict(rejected.most_common()),
        "seconds": _seconds(run, number),
    }


def is_finished(run: Run, number: int) -> bool:
    rows = run.folder.stages.rows
    return any(row["iteration"] == number and row["stage"] == "generate" and row["finished"] for row in rows)


def _heldout_gap(run: Run, checkpoint: int) -> float | None:
    """Mean gap over the held-out instructions that have scores, in referee points."""
    rows = (row for row in run.folder.verdicts.rows if row["checkpoint"] == checkpoint and row["pool"] == "heldout")
    gaps = [row["gap"] for row in rows if row["gap"] is not None]
    return round(fmean(gaps), 4) if gaps else None


def _seconds(run: Run, number: int) -> dict[str, float]:
    """A stage that was stopped and gone on with counts all its time."""
    seconds: dict[str, float] = {}
    for row in run.folder.stages.rows:
        if row["iteration"] == number:
            seconds[row["stage"]] = round(seconds.get(row["stage"], 0.0) + row["seconds"], 2)
    return seconds


def _added(rows: list[dict[str, Any]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in rows:
        for stage, seconds in row["seconds"].items():
            total[stage] = round(total.get(stage, 0.0) + seconds, 2)
    return total


def _bill(run: Run) -> dict[str, Any]:
    paid = [row for row in run.folder.calls.rows if row["paid"]]
    return {
        "paid_calls": len(paid),
        "tokens": {
            "prompt": sum(row["prompt_tokens"] for row in paid),
            "completion": sum(row["completion_tokens"] for row in paid),
        },
        "cost_usd": round(sum(row["cost_usd"] for row in paid), 6),
    }
