"""What the list of experiments shows."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, FloatField, OrderBy, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce, Greatest

from lionweb.models import Checkpoint, Experiment, ModelCall, Stage, StageEvent
from lionweb.selectors.experiment_status import (
    STAGE_COUNT,
    STATUSES,
    ExperimentStatus,
    StageState,
    status_of,
    with_status,
)

PAGE_SIZE = 25
SORTS = {
    "name": "name",
    "owner": "owner__username",
    "status": "status_name",
    "iteration": "iteration_number",
    "spend": "spend_usd",
    "updated": "updated_at",
}
DEFAULT_SORT = "-updated"


@dataclass(frozen=True)
class ListState:
    """What the URL of the list says: search text, status, sort key with "-" for descending, page."""

    search: str = ""
    status: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1


@dataclass(frozen=True)
class ExperimentRow:
    id: int
    name: str
    owner: str
    teacher: str
    student: str
    status: ExperimentStatus
    iteration: int
    planned: int
    progress: float
    spend_usd: float
    loss_first: float | None
    loss_last: float | None
    updated_at: datetime


@dataclass(frozen=True)
class ExperimentList:
    rows: tuple[ExperimentRow, ...]
    page: Page
    counts: dict[str, int]

    @property
    def any_exist(self) -> bool:
        return any(self.counts.values())

    @property
    def is_live(self) -> bool:
        return any(row.status.is_live for row in self.rows)


def list_experiments(state: ListState) -> ExperimentList:
    found = with_status(Experiment.objects.all())
    if state.search:
        found = found.filter(name__icontains=state.search)
    counts = dict.fromkeys(STATUSES, 0) | dict(found.order_by().values_list("status_name").annotate(count=Count("pk")))
    if state.status:
        found = found.filter(status_name=state.status)
    page = Paginator(_sorted(found, state.sort), PAGE_SIZE).get_page(state.page)
    return ExperimentList(tuple(_rows(list(page.object_list))), page, counts)


def _sorted(experiments: QuerySet[Any], sort: str) -> QuerySet[Any]:
    spend = ModelCall.objects.filter(experiment=OuterRef("pk")).order_by().values("experiment")
    event = StageEvent.objects.filter(stage__iteration=OuterRef("last_iteration")).order_by("-id")
    experiments = experiments.select_related("owner", "endpoint").annotate(
        updated_at=Greatest("created_at", Subquery(event.values("at")[:1])),
    )
    if sort.removeprefix("-") == "spend":
        total = spend.annotate(total=Sum("cost_usd")).values("total")
        experiments = experiments.annotate(spend_usd=Coalesce(Subquery(total), 0.0, output_field=FloatField()))
    order = OrderBy(F(SORTS[sort.removeprefix("-")]), descending=sort.startswith("-"), nulls_last=True)
    return experiments.order_by(order, "-pk")


def _rows(experiments: list[Any]) -> Iterable[ExperimentRow]:
    stages = _stages({one.last_iteration for one in experiments if one.last_iteration})
    ids = [one.pk for one in experiments]
    paid = ModelCall.objects.filter(experiment__in=ids).order_by().values_list("experiment").annotate(Sum("cost_usd"))
    spend, losses = dict(paid), _losses(ids)
    for one in experiments:
        own, number = stages.get(one.last_iteration, []), one.iteration_number or 0
        first, last = losses.get(one.pk, (None, None))
        yield ExperimentRow(
            id=one.pk,
            name=one.name,
            owner=one.owner.username,
            teacher=one.endpoint.model,
            student=one.settings_json.get("student", {}).get("base", "bundled"),
            status=status_of(
                [StageState(stage.kind, stage.status, stage.paused_for) for stage in own],
                number,
                one.planned_iterations,
            ),
            iteration=number,
            planned=one.planned_iterations,
            progress=progress(own, number, one.planned_iterations),
            spend_usd=spend.get(one.pk, 0.0),
            loss_first=first,
            loss_last=last,
            updated_at=one.updated_at,
        )


def progress(stages: list[Stage], iteration: int, planned: int) -> float:
    """Share of all planned stages that is done; a stage under way counts by its items."""
    if not planned or not iteration:
        return 0.0
    done = sum(
        1.0 if stage.status == "succeeded" else stage.done / stage.total if stage.total else 0.0 for stage in stages
    )
    return min(1.0, (iteration - 1 + done / STAGE_COUNT) / planned)


def _stages(iterations: set[int]) -> dict[int, list[Stage]]:
    found: dict[int, list[Stage]] = defaultdict(list)
    for stage in Stage.objects.filter(iteration__in=iterations).order_by("position"):
        found[stage.iteration_id].append(stage)
    return found


def _losses(experiments: list[int]) -> dict[int, tuple[float | None, float | None]]:
    """Held-out loss before the first training and after the last one."""
    found: dict[int, tuple[float | None, float | None]] = {}
    trained = Checkpoint.objects.filter(experiment__in=experiments, number__gte=1).order_by("number")
    for experiment, metrics in trained.values_list("experiment", "metrics"):
        first = found[experiment][0] if experiment in found else metrics.get("heldout_loss_before")
        found[experiment] = (first, metrics.get("heldout_loss_after"))
    return found
