"""What the review page shows of one item: both answers, the referee's scores, and what people said."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models.functions import Left, Length
from django.utils import timezone
from django.utils.safestring import SafeString

from distill.records import Verdict
from distill.settings import GateSettings
from lionweb.independence import readable
from lionweb.markdown import render
from lionweb.models import (
    OPEN_STATES,
    Classification,
    Decision,
    DecisionKind,
    Response,
    Review,
    ReviewLock,
    ReviewState,
    User,
)
from lionweb.selectors.instruction import FINISH_NOTES
from lionweb.services.reviews import version
from lionweb.stages.repeated_reviews import AGAIN, second_name
from lionweb.text_diff import Piece, diff

SHOWN_CHARACTERS = 20_000
"""So much of an answer is in the page; the rest is fetched when somebody asks for it."""


@dataclass(frozen=True)
class Look:
    """How the pair is shown; stands in the address, so that it stays while stepping."""

    diff: bool = False
    raw: bool = False
    swap: bool = False


@dataclass(frozen=True)
class Answer:
    """One side. In blind mode the role says nothing about the author."""

    role: str
    text: str
    characters: int
    tokens: int | None
    note: str
    url_name: str  # teacher or student, or left and right in blind mode

    @property
    def is_cut(self) -> bool:
        return self.characters > len(self.text)

    @property
    def html(self) -> SafeString:
        return render(self.text)


@dataclass(frozen=True)
class Scores:
    """One referee reply."""

    order: str
    score_teacher: float | None
    score_student: float | None
    explanation: str


@dataclass(frozen=True)
class ReviewItem:
    """`row` has no texts of answers loaded: they stand in `sides`, cut to what the page shows."""

    row: Classification
    look: Look
    blind: bool
    sides: tuple[Answer, ...]
    own: Decision | None
    history: tuple[Decision, ...]
    locks: tuple[ReviewLock, ...]
    scores: tuple[Scores, ...] = ()
    draft: dict[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.row.review_state in OPEN_STATES

    @property
    def is_closed(self) -> bool:
        return self.row.review_state == ReviewState.CLOSED

    @property
    def is_deleted(self) -> bool:
        return self.row.instruction.deleted_at is not None

    @property
    def version(self) -> str:
        return version(self.row, self.own)

    @property
    def pieces(self) -> list[Piece]:
        return diff(self.sides[0].text, self.sides[1].text)

    @property
    def referee_decided(self) -> bool:
        return self.row.referee_verdict != Verdict.UNSCORED

    @property
    def decided_kind(self) -> str:
        return DecisionKind(self.row.person_kind).label if self.row.person_kind else ""


def teacher_stands_left(pk: int, person: User, look: Look, *, blind: bool) -> bool:
    """In blind mode at random, and always the same for this item and person; X turns it round."""
    digest = hashlib.sha256(f"{pk}/{person.pk}".encode()).digest()
    return (not blind or digest[0] % 2 == 0) != look.swap


def review_item(pk: int, person: User, *, gates: GateSettings, look: Look, is_closed: bool) -> ReviewItem:
    """Raises Classification.DoesNotExist."""
    row = _row(pk)
    blind = gates.blind_review and not is_closed
    left = teacher_stands_left(pk, person, look, blind=blind)
    decisions = list(row.decisions.select_related("person", "corrected_response").order_by("pk"))
    own = next((d for d in decisions if d.person_id == person.pk and not d.undone_at and not d.is_resolution), None)
    locks = row.locks.filter(expires_at__gt=timezone.now()).select_related("person").order_by("pk")
    return ReviewItem(
        row=row,
        look=look,
        blind=blind,
        sides=_sides(row, left, blind),
        own=own,
        history=tuple(readable(decisions, row, person)),
        locks=tuple(locks),
        scores=() if blind else _scores(row),
        draft=_draft(decisions, row, person, blind),
    )


def _row(pk: int) -> Any:
    related = ("instruction", "teacher_response", "student_response", "person", "corrected_response", "checkpoint",
               "iteration__experiment__second_endpoint")  # fmt: skip
    rows = Classification.objects.select_related(*related)
    for side in ("teacher", "student"):
        text = f"{side}_response__text"
        rows = rows.defer(text).annotate(
            **{f"{side}_text": Left(text, SHOWN_CHARACTERS), f"{side}_characters": Length(text)}
        )
    return rows.get(pk=pk)


def _sides(row: Any, teacher_left: bool, blind: bool) -> tuple[Answer, Answer]:
    teacher = _answer(row.teacher_response, row.teacher_text, row.teacher_characters, "Teacher", "teacher")
    student = _answer(row.student_response, row.student_text, row.student_characters, "Student", "student")
    left, right = (teacher, student) if teacher_left else (student, teacher)
    if not blind:
        return left, right
    return (
        Answer("Left answer", left.text, left.characters, left.tokens, left.note, "left"),
        Answer("Right answer", right.text, right.characters, right.tokens, right.note, "right"),
    )


def _answer(response: Response | None, text: str | None, characters: int | None, role: str, name: str) -> Answer:
    if response is None:
        return Answer(role, "", 0, None, "no answer", name)
    note = FINISH_NOTES.get(response.finish, "")
    return Answer(role, text or "", characters or 0, response.completion_tokens, note, name)


def _scores(row: Classification) -> tuple[Scores, ...]:
    """Per order the referee's last reply with scores, or the last one; not those of a second asking or a second referee."""
    replies = Review.objects.filter(teacher_response=row.teacher_response_id, student_response=row.student_response_id)
    replies = replies.exclude(referee__endswith=AGAIN)
    if second := second_name(row.iteration.experiment):
        replies = replies.exclude(referee=second)
    found: dict[str, Review] = {}
    for reply in sorted(replies, key=lambda r: (r.score_teacher is not None, r.attempt)):
        found[reply.order] = reply
    return tuple(
        Scores(order, r.score_teacher, r.score_student, r.explanation or r.raw)
        for order, r in sorted(found.items(), reverse=True)
    )


def _draft(decisions: Sequence[Decision], row: Any, person: User, blind: bool) -> dict[str, str]:
    """What the form begins with: one's own words of last time, and for the answer otherwise the teacher's."""
    mine = [d for d in decisions if d.person_id == person.pk]
    last = mine[-1] if mine else None
    corrected = last.corrected_response.text if last and last.corrected_response else ""
    whole = row.teacher_response and row.teacher_characters <= SHOWN_CHARACTERS and not blind
    return {
        "comment": last.comment if last else "",
        "corrected": corrected or (row.teacher_text if whole else ""),
    }
