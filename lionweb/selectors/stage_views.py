"""The stage strip: how far each stage of an iteration is, what it cost and how long it will still take."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db.models import Count, F, Max, Q, Sum
from django.utils import timezone

from lionweb.models import GATES, ItemFailure, MetricPoint, ModelCall, Stage, StageEvent, StageKind, StageStatus
from lionweb.selectors.experiment_status import paused_word

RATE_WINDOW = timedelta(seconds=60)
SETTLED_SECONDS = 3.0  # a rate over less time jumps about
SHOWN_FAILURES = 3
WAITING_FOR = {StageKind.REVIEW.value: "waiting for review", StageKind.APPROVE.value: "waiting for approval"}


class Paid(NamedTuple):
    """Calls of one stage; `recent` of them in the last RATE_WINDOW."""

    calls: int = 0
    paid_calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    recent: int = 0


@dataclass(frozen=True)
class StageView:
    id: int
    kind: str
    title: str
    status: str
    word: str
    is_gate: bool
    phase: str
    note: str
    done: int
    total: int
    failed_items: int
    failures: tuple[tuple[str, int], ...]
    error: dict[str, str] | None
    paid: Paid
    seconds: float | None
    items_per_second: float | None
    tokens_per_second: float | None
    seconds_left: float | None

    @property
    def is_running(self) -> bool:
        return self.status == StageStatus.RUNNING


def stage_views(stages: Sequence[Stage], paid: Mapping[int | None, Paid]) -> tuple[StageView, ...]:
    """The stages of one iteration; `paid` is what `paid_by_stage` gave."""
    now = timezone.now()
    failures = _failures([stage.pk for stage in stages if stage.failed_items])
    running = [stage.pk for stage in stages if stage.status == StageStatus.RUNNING]
    since, speed = _running_since(running), _tokens_per_second(running)
    return tuple(
        _view(
            stage,
            paid.get(stage.pk, Paid()),
            tuple(failures[stage.pk]),
            since.get(stage.pk),
            speed.get(stage.pk),
            now,
        )
        for stage in stages
    )


def _view(
    stage: Stage,
    paid: Paid,
    failures: tuple[tuple[str, int], ...],
    since: datetime | None,
    tokens_per_second: float | None,
    now: datetime,
) -> StageView:
    rate = _rate(stage, paid, (now - since).total_seconds()) if since else None
    open_items = max(0, stage.total - stage.done - stage.failed_items)
    return StageView(
        id=stage.pk,
        kind=stage.kind,
        title=StageKind(stage.kind).label,
        status=stage.status,
        word=_word(stage),
        is_gate=stage.kind in GATES,
        phase=stage.phase,
        note=stage.note,
        done=stage.done,
        total=stage.total,
        failed_items=stage.failed_items,
        failures=failures,
        error=stage.error,
        paid=paid,
        seconds=((stage.finished_at or now) - stage.started_at).total_seconds() if stage.started_at else None,
        items_per_second=rate,
        tokens_per_second=tokens_per_second,
        seconds_left=open_items / rate if rate else None,
    )


def _word(stage: Stage) -> str:
    match stage.status:
        case StageStatus.WAITING:
            return WAITING_FOR.get(stage.kind, "waiting")
        case StageStatus.PAUSED:
            return paused_word(stage.paused_for)
        case status:
            return StageStatus(status).label.lower()


def _rate(stage: Stage, paid: Paid, elapsed: float) -> float | None:
    """Items per second: from the calls of the last minute where the stage makes calls, else over its whole run."""
    if not stage.done or elapsed < SETTLED_SECONDS:
        return None
    if paid.recent:
        items_per_call = min(1.0, stage.done / paid.calls)
        return paid.recent * items_per_call / min(elapsed, RATE_WINDOW.total_seconds())
    return stage.done / elapsed


def paid_by_stage(experiment_id: int) -> dict[int | None, Paid]:
    """All calls of an experiment in one pass over the ledger; None: calls that belong to no stage."""
    calls = ModelCall.objects.filter(experiment=experiment_id).order_by().values_list("stage")
    sums = calls.annotate(
        all_calls=Count("pk"),
        paid_calls=Count("pk", filter=Q(paid=True)),
        tokens=Sum(F("prompt_tokens") + F("completion_tokens")),
        cost=Sum("cost_usd"),
        recent=Count("pk", filter=Q(at__gte=timezone.now() - RATE_WINDOW)),
    )
    return {stage: Paid(*values) for stage, *values in sums}


def _failures(stages: list[int]) -> dict[int, list[tuple[str, int]]]:
    """The most frequent messages of items that failed for good."""
    found: dict[int, list[tuple[str, int]]] = defaultdict(list)
    if stages:
        rows = ItemFailure.objects.filter(stage__in=stages).values_list("stage", "message").annotate(count=Count("pk"))
        for stage, message, count in rows.order_by("-count", "message"):
            if len(found[stage]) < SHOWN_FAILURES:
                found[stage].append((message, count))
    return found


def _running_since(stages: list[int]) -> dict[int, datetime]:
    """When each running stage last began to run: a pause before does not count."""
    if not stages:
        return {}
    events = StageEvent.objects.filter(stage__in=stages, to_status=StageStatus.RUNNING).order_by()
    return dict(events.values_list("stage").annotate(Max("at")))


def _tokens_per_second(stages: list[int]) -> dict[int, float]:
    if not stages:
        return {}
    points = MetricPoint.objects.filter(stage__in=stages, name="tokens_per_second")
    return dict(points.order_by("stage", "-step").distinct("stage").values_list("stage", "value"))
