"""What the page of the review gate shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from django.db.models.functions import Abs

from distill.records import Verdict
from lionweb.models import Classification, Stage, StageKind

PAGE_SIZE = 20
SHOWN = {
    "open": Q(person_at__isnull=True),
    "all": Q(),
    Verdict.HARD.value: Q(verdict=Verdict.HARD),
    Verdict.EASY.value: Q(verdict=Verdict.EASY),
    Verdict.UNSCORED.value: Q(verdict=Verdict.UNSCORED),
    "flipped": Q(flipped=True),
    "decided": Q(person_at__isnull=False),
}
"""Filters of the review gate by name."""


@dataclass(frozen=True)
class GatePage:
    stage: Stage
    chosen: str
    counts: dict[str, int]
    page: Page
    items: Sequence[Any]

    @property
    def open(self) -> int:
        return self.counts["open"]

    @property
    def is_closed(self) -> bool:
        """Nothing can be decided any more."""
        return self.stage.status == "succeeded"


def gate_stage(experiment: int, number: int, kind: StageKind) -> Stage:
    """Raises Stage.DoesNotExist."""
    found = Stage.objects.select_related("iteration__experiment")
    return found.get(iteration__experiment=experiment, iteration__number=number, kind=kind)


def review_page(stage: Stage, chosen: str, number: int) -> GatePage:
    """Unscored and order-flipped items first, then those closest to the threshold: where people help most."""
    rows = Classification.objects.filter(iteration=stage.iteration_id, for_review=True)
    counts = rows.aggregate(
        **{name: Count("pk", filter=where) for name, where in SHOWN.items() if where}, all=Count("pk")
    )
    page = Paginator(_most_doubtful(rows.filter(SHOWN[chosen]), stage), PAGE_SIZE).get_page(number)
    return GatePage(stage, chosen, {name: counts[name] for name in SHOWN}, page, list(page.object_list))


def _most_doubtful(rows: QuerySet[Classification], stage: Stage) -> QuerySet[Classification]:
    doubt = Case(When(gap__isnull=True, then=0), When(flipped=True, then=1), default=2)
    tau = Value(stage.iteration.experiment.settings.referee.tau)
    related = ("instruction", "teacher_response", "student_response", "person", "checkpoint")
    return rows.select_related(*related).order_by(doubt, Abs(F("gap") - tau), "pk")


def review_item(pk: int) -> Classification:
    """Raises Classification.DoesNotExist."""
    related = ("instruction", "teacher_response", "student_response", "person", "checkpoint", "iteration__experiment")
    return Classification.objects.select_related(*related).get(pk=pk)
