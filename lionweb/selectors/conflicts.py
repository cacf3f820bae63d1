"""What the page of conflicts shows."""

from dataclasses import dataclass

from django.core.paginator import Page, Paginator

from lionweb.models import Classification, Decision, Iteration, ReviewState, Role, StageKind, StageStatus, User
from lionweb.services.conflicts import live_opinions, may_resolve, version_of

PAGE_SIZE = 10
MOST_RESOLVED = 20


@dataclass(frozen=True)
class Opinion:
    decision: Decision
    name: str  # a letter in blind mode


@dataclass(frozen=True)
class Conflict:
    item: Classification
    opinions: tuple[Opinion, ...]
    version: str
    may_resolve: bool


@dataclass(frozen=True)
class ConflictsPage:
    """In blind mode, as long as it lasts, nobody sees who said what, and only researchers see the items
    and what became of those that are resolved."""

    page: Page
    conflicts: tuple[Conflict, ...]
    resolved: tuple[Decision, ...]
    is_closed: bool
    is_blind: bool


def conflicts_page(iteration: Iteration, reader: User, number: int) -> ConflictsPage:
    rows = Classification.objects.filter(iteration=iteration, for_review=True, review_state=ReviewState.CONFLICT)
    rows = rows.filter(instruction__deleted_at=None)
    related = ("instruction", "teacher_response", "student_response")
    page = Paginator(rows.select_related(*related).order_by("queue_rank", "pk"), PAGE_SIZE).get_page(number)
    closed = iteration.stages.filter(kind=StageKind.REVIEW, status=StageStatus.SUCCEEDED).exists()
    blind = iteration.experiment.settings.gates.blind_review and not closed
    hidden = blind and not reader.may(Role.RESEARCHER)
    shown = [] if hidden else page.object_list
    return ConflictsPage(
        page=page,
        conflicts=tuple(_conflict(item, reader, blind=blind, closed=closed) for item in shown),
        resolved=() if hidden else _resolved(iteration),
        is_closed=closed,
        is_blind=blind,
    )


def _conflict(item: Classification, reader: User, *, blind: bool, closed: bool) -> Conflict:
    opinions = live_opinions(item)
    names = [f"Reviewer {chr(65 + place % 26)}" if blind else one.person.username for place, one in enumerate(opinions)]
    return Conflict(
        item=item,
        opinions=tuple(Opinion(one, name) for one, name in zip(opinions, names, strict=True)),
        version=version_of(opinions),
        may_resolve=not closed and may_resolve(reader, opinions),
    )


def _resolved(iteration: Iteration) -> tuple[Decision, ...]:
    """The last ones, newest first."""
    rows = Decision.objects.filter(classification__iteration=iteration, is_resolution=True, undone_at__isnull=True)
    return tuple(rows.select_related("person", "classification__instruction").order_by("-pk")[:MOST_RESOLVED])
