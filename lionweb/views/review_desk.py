"""Where a request of the review queue works: the gate, and what its address says."""

from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from django.http import Http404, QueryDict
from django.urls import reverse

from distill.settings import GateSettings
from lionweb.models import Classification, Stage, StageStatus
from lionweb.review_filters import ReviewFilters, filters_of
from lionweb.selectors import review_queue as queued
from lionweb.selectors.review import Look


@dataclass(frozen=True)
class Desk:
    """Where a request works: the gate, and what its address says of filters and looks."""

    stage: Stage
    filters: ReviewFilters
    look: Look
    as_list: bool
    gates: GateSettings

    @property
    def is_blind(self) -> bool:
        return self.gates.blind_review and not self.is_closed

    @property
    def is_closed(self) -> bool:
        return self.stage.status == StageStatus.SUCCEEDED

    @property
    def query(self) -> str:
        """The address without the item."""
        chosen = {name: "1" for name, on in asdict(self.look).items() if on}
        view = {"view": "list"} if self.as_list else {}
        return urlencode({**view, **self.filters.as_query(), **chosen})

    def toggled(self, name: str, item: int) -> str:
        """The address of the item with one look turned round."""
        look = Look(**asdict(self.look) | {name: not getattr(self.look, name)})
        return replace(self, look=look).url(item)

    def other_view(self, item: int | None) -> str:
        return replace(self, as_list=not self.as_list).url(item)

    def url(self, item: int | None = None) -> str:
        path = reverse("review-gate", args=[self.stage.iteration.experiment_id, self.stage.iteration.number])
        parts = [part for part in (f"item={item}" if item else "", self.query) if part]
        return path + (f"?{'&'.join(parts)}" if parts else "")


def stage_at(experiment: int, number: int) -> Stage:
    try:
        return queued.review_stage(experiment, number)
    except Stage.DoesNotExist as error:
        raise Http404("There is no such iteration.") from error


def row_at(pk: int) -> Classification:
    rows = Classification.objects.select_related("iteration", "teacher_response", "student_response")
    row = rows.defer("teacher_response__text", "student_response__text").filter(pk=pk).first()
    if row is None:
        raise Http404("This item is no longer there: it was deleted meanwhile.")
    return row


def stage_of(row: Classification) -> Stage:
    return stage_at(row.iteration.experiment_id, row.iteration.number)


def desk_at(stage: Stage, query: QueryDict) -> Desk:
    settings = stage.iteration.experiment.settings.gates
    blind = settings.blind_review and stage.status != StageStatus.SUCCEEDED
    look = Look(**{name: query.get(name) == "1" for name in ("diff", "raw", "swap")})
    return Desk(stage, filters_of(query, blind=blind), look, query.get("view") == "list", settings)
