"""The queue around an item: its neighbours, a page of the list, how far one has come, and what closing would leave."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Left
from django.utils import timezone

from lionweb.models import (
    OPEN_STATES,
    OPINIONS,
    UNSETTLED,
    Classification,
    Decision,
    Iteration,
    ReviewLock,
    ReviewState,
    Stage,
    StageKind,
    User,
)
from lionweb.review_filters import EVERYTHING, SHOWN, ReviewFilters
from lionweb.services.review_locks import waiting

ROWS = 30
ROWS_BEFORE = 4
COUNTED = 1_000
"""The page counts no further: beyond that it says "more than"."""
SNIPPET = 160


@dataclass(frozen=True)
class OwnProgress:
    today: int
    left: int

    @property
    def more_left(self) -> bool:
        return self.left >= COUNTED


@dataclass(frozen=True)
class Closing:
    """What stands open at a gate that is to be closed, and whether the experiment's policy allows it."""

    policy: str
    sample_percent: float
    counts: dict[str, int]
    decided: int

    @property
    def open(self) -> int:
        return sum(self.counts.values())

    @property
    def is_allowed(self) -> bool:
        return self.policy != "require" or not self.open


def review_stage(experiment: int, number: int) -> Stage:
    """Raises Stage.DoesNotExist."""
    found = Stage.objects.select_related("iteration__experiment")
    return found.get(iteration__experiment=experiment, iteration__number=number, kind=StageKind.REVIEW)


def queue(iteration: Iteration, filters: ReviewFilters) -> QuerySet[Classification]:
    """What matches, in the order of the queue."""
    rows = Classification.objects.filter(SHOWN[filters.show], filters.where(), iteration=iteration, for_review=True)
    return rows.order_by("queue_rank", "pk")


def first_shown(iteration: Iteration, filters: ReviewFilters) -> int | None:
    return queue(iteration, filters).values_list("pk", flat=True).first()


def following(row: Classification, rows: QuerySet[Classification]) -> QuerySet[Classification]:
    return rows.filter(queue_rank__gte=row.queue_rank).exclude(queue_rank=row.queue_rank, pk__lte=row.pk)


def preceding(row: Classification, rows: QuerySet[Classification]) -> QuerySet[Classification]:
    """Nearest first."""
    rows = rows.filter(queue_rank__lte=row.queue_rank).exclude(queue_rank=row.queue_rank, pk__gte=row.pk)
    return rows.order_by("-queue_rank", "-pk")


def neighbours(row: Classification, rows: QuerySet[Classification]) -> tuple[int | None, int | None]:
    """Ids of the previous and the next item."""
    ids = [found.values_list("pk", flat=True).first() for found in (preceding(row, rows), following(row, rows))]
    return ids[0], ids[1]


def list_around(row: Classification, rows: QuerySet[Classification]) -> list[Any]:
    """A page of the list with the item near its top, each with its text's beginning and who has it open."""
    before = list(preceding(row, rows).values_list("pk", flat=True)[:ROWS_BEFORE])
    after = list(following(row, rows).values_list("pk", flat=True)[: ROWS - ROWS_BEFORE])
    lock = ReviewLock.objects.filter(classification=OuterRef("pk"), expires_at__gt=timezone.now())
    found = Classification.objects.filter(pk__in=[*before, row.pk, *after]).annotate(
        snippet=Left("instruction__text", SNIPPET), held_by=Subquery(lock.values("person__username")[:1])
    )
    return list(found.order_by("queue_rank", "pk"))


def own_progress(iteration: Iteration, person: User) -> OwnProgress:
    """Only opinions of one's own count as done: not skips and flags, and nothing that was filled in by a machine."""
    own = Decision.objects.filter(person=person, undone_at__isnull=True)
    today = own.filter(kind__in=OPINIONS, created_at__gte=_midnight(), classification__iteration=iteration).count()
    return OwnProgress(today, waiting(iteration, person, EVERYTHING).values("pk")[:COUNTED].count())


def _midnight() -> datetime:
    return timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)


def states(iteration: Iteration) -> dict[str, int]:
    """How many items of the queue are in each state. Those whose instruction was deleted wait for nobody: left out."""
    rows = Classification.objects.filter(iteration=iteration, for_review=True).order_by()
    rows = rows.exclude(review_state__in=UNSETTLED, instruction__deleted_at__isnull=False)
    return dict(rows.values_list("review_state").annotate(Count("pk")))


def closing(stage: Stage) -> Closing:
    gates = stage.iteration.experiment.settings.gates
    counts = states(stage.iteration)
    opened = {ReviewState(state).label: counts[state] for state in UNSETTLED if counts.get(state)}
    decided = sum(counts.get(state, 0) for state in (ReviewState.CONFIRMED, ReviewState.OVERRIDDEN))
    return Closing(gates.review, gates.review_sample_percent, opened, decided)


def whole_text(row: Classification, side: str) -> str:
    response = row.teacher_response if side == "teacher" else row.student_response
    return response.text if response else ""


def skipped_by(iteration: Iteration, person: User) -> int:
    """Items that would come again if one took one's skips and flags back."""
    mine = Decision.objects.filter(person=person, undone_at__isnull=True, classification__iteration=iteration)
    mine = mine.filter(classification__instruction__deleted_at__isnull=True)
    return mine.exclude(kind__in=OPINIONS).filter(classification__review_state__in=OPEN_STATES).count()
