"""What the page of one instruction shows."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F

from lionweb.models import AuditEvent, AuthorKind, Classification, Instruction, Membership, PoolEntry, Response, Review
from lionweb.selectors.lineage import Lineage, lineage

MOST_RESPONSES = 60


@dataclass(frozen=True)
class AuthoredResponse:
    """A response with its author in words, and what its reviews say where it is a student's."""

    response: Response
    author: str
    experiment: str
    note: str  # empty for a complete answer


@dataclass(frozen=True)
class Judged:
    """A classification with the earlier decisions of people on it, oldest first."""

    classification: Classification
    history: tuple[AuditEvent, ...]


@dataclass(frozen=True)
class InstructionPage:
    """`student` is compared with `teacher`: the chosen one, or the last one; their reviews stand beside them."""

    instruction: Instruction
    pools: tuple[PoolEntry, ...]
    memberships: tuple[Membership, ...]
    responses: tuple[AuthoredResponse, ...]
    teacher: AuthoredResponse | None
    student: AuthoredResponse | None
    reviews: tuple[Review, ...]
    judged: tuple[Judged, ...]
    lineage: Lineage

    @property
    def students(self) -> list[AuthoredResponse]:
        return [one for one in self.responses if one.response.author_kind == AuthorKind.STUDENT]


FINISH_NOTES = {
    "length": "cut at the token limit",
    "truncated": "broke off on its way",
    "empty": "empty",
    "content_filter": "withheld by the provider's filter",
}


def instruction_page(pk: int, *, experiment: int | None, response: int | None) -> InstructionPage:
    """`response` chooses the student's side of the comparison, `experiment` prefers its students. Raises Instruction.DoesNotExist."""
    found = Instruction.objects.get(pk=pk)
    judged = _judged(pk)
    responses = _responses(pk)
    student = _student(responses, experiment, response)
    reviews = _reviews(student)
    return InstructionPage(
        instruction=found,
        pools=tuple(PoolEntry.objects.filter(instruction=pk).select_related("pool").defer("pool__problems")[:20]),
        memberships=_memberships(pk),
        responses=tuple(responses),
        teacher=_teacher(responses, judged, student, reviews),
        student=student,
        reviews=reviews,
        judged=judged,
        lineage=lineage(pk),
    )


def _responses(pk: int) -> list[AuthoredResponse]:
    """Teachers first, then students from the base on."""
    rows = Response.objects.filter(instruction=pk).select_related("checkpoint__experiment")
    order = (F("checkpoint__experiment").asc(nulls_first=True), F("checkpoint__number").asc(nulls_first=True), "pk")
    return [_authored(row) for row in rows.order_by(*order)[:MOST_RESPONSES]]


def _authored(response: Response) -> AuthoredResponse:
    author, experiment = response.author, ""
    if response.checkpoint:
        author, experiment = str(response.checkpoint), response.checkpoint.experiment.name
    return AuthoredResponse(response, author, experiment, FINISH_NOTES.get(response.finish, ""))


def _student(
    responses: Sequence[AuthoredResponse], experiment: int | None, chosen: int | None
) -> AuthoredResponse | None:
    students = [one for one in responses if one.response.author_kind == AuthorKind.STUDENT]
    exact = [one for one in students if one.response.pk == chosen]
    own = [one for one in students if one.response.checkpoint and one.response.checkpoint.experiment_id == experiment]
    return next(iter(exact or own[-1:] or students[-1:]), None)


def _reviews(student: AuthoredResponse | None) -> tuple[Review, ...]:
    if student is None:
        return ()
    return tuple(Review.objects.filter(student_response=student.response).order_by("referee", "attempt", "order", "pk"))


def _teacher(
    responses: Sequence[AuthoredResponse],
    judged: Sequence[Judged],
    student: AuthoredResponse | None,
    reviews: Sequence[Review],
) -> AuthoredResponse | None:
    """The answer that this student's was judged against, else the first one."""
    against: set[int | None] = {review.teacher_response_id for review in reviews}
    if student:
        pairs = [one.classification for one in judged]
        against |= {pair.teacher_response_id for pair in pairs if pair.student_response_id == student.response.pk}
    teachers = [one for one in responses if one.response.author_kind != AuthorKind.STUDENT]
    met = [one for one in teachers if one.response.pk in against]
    return next(iter(met or teachers), None)


def _judged(pk: int) -> tuple[Judged, ...]:
    rows = list(
        Classification.objects.filter(instruction=pk)
        .select_related("iteration__experiment", "checkpoint", "person")
        .order_by("-iteration__experiment", "-iteration__number", "-checkpoint__number")
    )
    events: dict[str, list[AuditEvent]] = defaultdict(list)
    told = AuditEvent.objects.filter(target_type="classification", target_id__in=[str(row.pk) for row in rows])
    for event in told.select_related("actor").order_by("id"):
        events[event.target_id].append(event)
    return tuple(Judged(row, tuple(events[str(row.pk)])) for row in rows)


def _memberships(pk: int) -> tuple[Membership, ...]:
    rows = Membership.objects.filter(instruction=pk).select_related("experiment")
    return tuple(rows.order_by("-experiment", "since", "pool")[:MOST_RESPONSES])
