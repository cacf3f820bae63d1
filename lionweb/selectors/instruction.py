"""What the page of one instruction shows."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import F

from lionweb.independence import readable, veiled
from lionweb.models import (
    AuthorKind,
    Classification,
    Decision,
    Instruction,
    Membership,
    PoolEntry,
    Response,
    Review,
    User,
)
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
class InstructionPage:
    """`student` is compared with `teacher`: the chosen one, or the last one; their reviews stand beside them.

    `judged` leaves out the iterations that are `veiled`.
    """

    instruction: Instruction
    pools: tuple[PoolEntry, ...]
    memberships: tuple[Membership, ...]
    responses: tuple[AuthoredResponse, ...]
    teacher: AuthoredResponse | None
    student: AuthoredResponse | None
    reviews: tuple[Review, ...]
    judged: tuple[Classification, ...]
    edits: tuple[int, ...]  # primary keys of what it was edited into
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


def instruction_page(pk: int, *, reader: User, experiment: int | None, response: int | None) -> InstructionPage:
    """`response` chooses the student's side of the comparison, `experiment` prefers its students.

    Raises Instruction.DoesNotExist.
    """
    found = Instruction.objects.get(pk=pk)
    judged = _judged(pk)
    hidden = veiled({row.iteration for row in judged}, reader)
    responses = _responses(pk, _withheld(judged, reader, hidden))
    student = _student(responses, experiment, response)
    kept_back = {row.student_response_id for row in judged if row.iteration_id in hidden}
    reviews = _reviews(None if student and student.response.pk in kept_back else student)
    return InstructionPage(
        instruction=found,
        pools=tuple(PoolEntry.objects.filter(instruction=pk).select_related("pool").defer("pool__problems")[:20]),
        memberships=_memberships(pk),
        responses=tuple(responses),
        teacher=_teacher(responses, judged, student, reviews),
        student=student,
        reviews=reviews,
        judged=tuple(row for row in judged if row.iteration_id not in hidden),
        edits=tuple(found.edits.order_by("pk").values_list("pk", flat=True)),
        lineage=lineage(pk),
    )


def _withheld(judged: Sequence[Classification], reader: User, hidden: set[int]) -> set[int]:
    """Answers that people wrote with a decision which the reader may not know yet."""
    by_item: dict[int, list[Decision]] = defaultdict(list)
    for one in Decision.objects.filter(classification__in=judged).order_by("pk"):
        by_item[one.classification_id].append(one)
    rows = {one.pk: one for one in judged}
    said = [one for many in by_item.values() for one in many]
    known = [one for pk, many in by_item.items() for one in readable(many, rows[pk], reader, hidden)]
    return {pk for pk in _answers(said) - _answers(known) if pk}


def _answers(decisions: Sequence[Decision]) -> set[int | None]:
    return {one.corrected_response_id for one in decisions}


def _responses(pk: int, withheld: set[int]) -> list[AuthoredResponse]:
    """Teachers first, then students from the base on."""
    rows = Response.objects.filter(instruction=pk).exclude(pk__in=withheld).select_related("checkpoint__experiment")
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
    judged: Sequence[Classification],
    student: AuthoredResponse | None,
    reviews: Sequence[Review],
) -> AuthoredResponse | None:
    """The answer that this student's was judged against, else the first one."""
    against: set[int | None] = {review.teacher_response_id for review in reviews}
    if student:
        against |= {pair.teacher_response_id for pair in judged if pair.student_response_id == student.response.pk}
    teachers = [one for one in responses if one.response.author_kind != AuthorKind.STUDENT]
    met = [one for one in teachers if one.response.pk in against]
    return next(iter(met or teachers), None)


def _judged(pk: int) -> tuple[Classification, ...]:
    return tuple(
        Classification.objects.filter(instruction=pk)
        .select_related("iteration__experiment", "checkpoint", "person")
        .order_by("-iteration__experiment", "-iteration__number", "-checkpoint__number")
    )


def _memberships(pk: int) -> tuple[Membership, ...]:
    rows = Membership.objects.filter(instruction=pk).select_related("experiment")
    return tuple(rows.order_by("-experiment", "since", "pool")[:MOST_RESPONSES])
