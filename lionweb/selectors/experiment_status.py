"""What an experiment as a whole is doing, read from the stages of its last iteration."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import Case, CharField, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When

from lionweb.models import Iteration, PauseReason, Stage, StageKind, StageStatus

STATUSES = ("draft", "queued", "running", "waiting", "paused", "succeeded", "failed", "cancelled")
LIVE = frozenset({"queued", "running", "waiting"})
# The first of these that any stage of the last iteration is in decides.
DECISIVE = (
    StageStatus.FAILED,
    StageStatus.PAUSED,
    StageStatus.RUNNING,
    StageStatus.WAITING,
    StageStatus.CANCELLED,
    StageStatus.PENDING,
)
STAGE_COUNT = len(StageKind)


class StageState(NamedTuple):
    kind: str
    status: str
    paused_for: str = ""


@dataclass(frozen=True)
class ExperimentStatus:
    """`name` is one of STATUSES; `word` is what people read, e.g. "train 2 of 7"."""

    name: str
    word: str

    @property
    def is_live(self) -> bool:
        return self.name in LIVE


def status_of(stages: Sequence[StageState], iteration: int, planned: int) -> ExperimentStatus:
    """The status from the stages of the last iteration in their order; `iteration` is its number, 0 for none."""
    if iteration == 0:
        return ExperimentStatus("queued", "queued") if planned else ExperimentStatus("draft", "draft")
    for status in DECISIVE:
        for place, stage in enumerate(stages, start=1):
            if stage.status == status:
                return _of_stage(stage, place, len(stages))
    return ExperimentStatus("succeeded", "succeeded") if iteration >= planned else ExperimentStatus("queued", "queued")


def _of_stage(stage: StageState, place: int, count: int) -> ExperimentStatus:
    match stage.status:
        case StageStatus.RUNNING:
            return ExperimentStatus("running", f"{stage.kind} {place} of {count}")
        case StageStatus.WAITING:
            return ExperimentStatus("waiting", f"waiting for {_GATE_WORDS.get(stage.kind, stage.kind)}")
        case StageStatus.PENDING:
            return ExperimentStatus("queued", "queued")
        case StageStatus.PAUSED:
            return ExperimentStatus("paused", paused_word(stage.paused_for))
        case status:
            return ExperimentStatus(status, StageStatus(status).label.lower())


def paused_word(reason: str) -> str:
    return "paused (budget)" if reason == PauseReason.BUDGET else "paused"


_GATE_WORDS = {StageKind.REVIEW.value: "review", StageKind.APPROVE.value: "approval"}


def with_status(experiments: QuerySet[Any]) -> QuerySet[Any]:
    """Adds `last_iteration` (its id), `iteration_number` and `status_name`, the same as `status_of` by SQL."""
    last = Iteration.objects.filter(experiment=OuterRef("pk")).order_by("-number")
    stages = Stage.objects.filter(iteration_id=OuterRef("last_iteration"))
    names = {StageStatus.PENDING: "queued"}
    cases = [
        When(Exists(stages.filter(status=status)), then=Value(names.get(status, status.value))) for status in DECISIVE
    ]
    return experiments.annotate(
        last_iteration=Subquery(last.values("pk")[:1]),
        iteration_number=Subquery(last.values("number")[:1]),
        status_name=Case(
            When(Q(last_iteration=None, planned_iterations=0), then=Value("draft")),
            When(last_iteration=None, then=Value("queued")),
            *cases,
            When(iteration_number__gte=F("planned_iterations"), then=Value("succeeded")),
            default=Value("queued"),
            output_field=CharField(),
        ),
    )
