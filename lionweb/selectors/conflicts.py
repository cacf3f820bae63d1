"""What the page of conflicts shows."""

from dataclasses import dataclass

from django.core.paginator import Page, Paginator

from lionweb.models import Classification, Decision, Iteration, Response, ReviewState, StageKind, StageStatus, User
from lionweb.services.conflicts import live_opinions, may_resolve, version_of

PAGE_SIZE = 10
MOST_RESOLVED = 20


@dataclass(frozen=True)
class Opinion:
    decision: Decision
    name: str  # a letter in blind mode


@dataclass(frozen=True)
class Answer:
    title: str
    response: Response | None


@dataclass(frozen=True)
class Conflict:
    item: Classification
    opinions: tuple[Opinion, ...]
    answers: tuple[Answer, ...]
    version: str
    may_resolve: bool


@dataclass(frozen=True)
class ConflictsPage:
    iteration: Iteration
    page: Page
    conflicts: tuple[Conflict, ...]
    resolved: tuple[Decision, ...]
    is_closed: bool
    is_blind: bool


def conflicts_page(iteration: Iteration, reader: User, number: int) -> ConflictsPage:
    rows = Classification.objects.filter(iteration=iteration, for_review=True, review_state=ReviewState.CONFLICT)
    related = ("instruction", "teacher_response", "student_response")
    page = Paginator(rows.select_related(*related).order_by("queue_rank", "pk"), PAGE_SIZE).get_page(number)
    blind = iteration.experiment.settings.gates.blind_review
    closed = iteration.stages.filter(kind=StageKind.REVIEW, status=StageStatus.SUCCEEDED).exists()
    return ConflictsPage(
        iteration=iteration,
        page=page,
        conflicts=tuple(conflict(item, reader, blind=blind, closed=closed) for item in page.object_list),
        resolved=_resolved(iteration),
        is_closed=closed,
        is_blind=blind,
    )


def conflict(item: Classification, reader: User, *, blind: bool, closed: bool) -> Conflict:
    opinions = live_opinions(item)
    names = [f"Reviewer {chr(65 + place % 26)}" if blind else one.person.username for place, one in enumerate(opinions)]
    return Conflict(
        item=item,
        opinions=tuple(Opinion(one, name) for one, name in zip(opinions, names, strict=True)),
        answers=_answers(item, blind),
        version=version_of(opinions),
        may_resolve=not closed and may_resolve(reader, opinions),
    )


def _answers(item: Classification, blind: bool) -> tuple[Answer, ...]:
    """In blind mode which one stands first tells nothing, and is the same whenever one looks."""
    both = [Answer("Teacher", item.teacher_response), Answer("Student", item.student_response)]
    if blind:
        both = both[::-1] if int(item.instruction.content_hash[:8], 16) % 2 else both
        both = [Answer(title, one.response) for title, one in zip(("Answer 1", "Answer 2"), both, strict=True)]
    return tuple(both)


def _resolved(iteration: Iteration) -> tuple[Decision, ...]:
    """The last ones, newest first."""
    rows = Decision.objects.filter(classification__iteration=iteration, is_resolution=True, undone_at__isnull=True)
    return tuple(rows.select_related("person", "classification__instruction").order_by("-pk")[:MOST_RESOLVED])
