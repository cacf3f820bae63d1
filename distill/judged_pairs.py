"""Pairs of answers that somebody has judged already, as they come out of files, and how often the student's was better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from distill.records import Instruction, Review

WIN, TIE, LOSS = 1.0, 0.5, 0.0


@dataclass(frozen=True)
class JudgedAnswer:
    model: str
    text: str


@dataclass(frozen=True)
class JudgedPair:
    """One judgement of one pair.

    Attributes:
        judge: the name that the file gives its referee; empty where it gives none.
        review: order, raw text and the scores that our own parser reads there.
        preference: probability that the student's answer is the better one, where the judge gave that instead of scores.
        stated: the (teacher, student) scores that the file itself names beside a text; only for comparison.
    """

    instruction: Instruction
    teacher: JudgedAnswer
    student: JudgedAnswer
    judge: str
    review: Review
    preference: float | None = None
    stated: tuple[float, float] | None = None

    @property
    def disagrees(self) -> bool:
        """The file names other scores than stand in its text."""
        read = (self.review.score_teacher, self.review.score_student)
        return self.stated is not None and self.stated != read

    @property
    def result(self) -> float | None:
        """WIN, TIE or LOSS of the student; a preference that is unsure counts for the side it leans to."""
        if self.preference is not None:
            return _sign(self.preference - TIE)
        teacher, student = self.review.score_teacher, self.review.score_student
        return None if teacher is None or student is None else _sign(student - teacher)


def preference_gap(preference: float) -> float:
    """Of a preference: probability that the teacher's answer is the better one less that of the student's, -1 to 1.

    It is no difference of scores: the judge gave none, and none are made up.
    """
    return round(1.0 - 2.0 * preference, 9)


@dataclass(frozen=True)
class SideLengths:
    """Mean lengths of one side's answers."""

    characters: float
    words: float


@dataclass(frozen=True)
class WinRate:
    """Student against teacher. Unparsed pairs are in none of the shares."""

    wins: int
    ties: int
    losses: int
    unparsed: int
    teacher: SideLengths
    student: SideLengths
    longer_won: int  # of the pairs with a winner whose answers differ in length
    longer_or_shorter_won: int

    @property
    def n(self) -> int:
        return self.wins + self.ties + self.losses

    @property
    def rate(self) -> float | None:
        """A tie is half a win."""
        return (self.wins + self.ties / 2) / self.n if self.n else None

    @property
    def longer_share(self) -> float | None:
        return self.longer_won / self.longer_or_shorter_won if self.longer_or_shorter_won else None


NOTHING = WinRate(0, 0, 0, 0, SideLengths(0, 0), SideLengths(0, 0), 0, 0)


def win_rate(pairs: Iterable[JudgedPair]) -> WinRate:
    """One judgement a pair is meant; of a pair judged in both orders each counts."""
    total, seen = NOTHING, 0
    for pair in pairs:
        seen += 1
        total = _counted(total, pair)
    return replace(total, teacher=_mean(total.teacher, seen), student=_mean(total.student, seen))


def _counted(total: WinRate, pair: JudgedPair) -> WinRate:
    result, longer = pair.result, len(pair.student.text) - len(pair.teacher.text)
    decided = result in (WIN, LOSS) and longer != 0
    return WinRate(
        wins=total.wins + (result == WIN),
        ties=total.ties + (result == TIE),
        losses=total.losses + (result == LOSS),
        unparsed=total.unparsed + (result is None),
        teacher=_added(total.teacher, pair.teacher.text),
        student=_added(total.student, pair.student.text),
        longer_won=total.longer_won + (decided and (result == WIN) == (longer > 0)),
        longer_or_shorter_won=total.longer_or_shorter_won + decided,
    )


def _added(sums: SideLengths, text: str) -> SideLengths:
    return SideLengths(sums.characters + len(text), sums.words + len(text.split()))


def _mean(sums: SideLengths, n: int) -> SideLengths:
    return SideLengths(sums.characters / n, sums.words / n) if n else sums


def _sign(difference: float) -> float:
    return TIE if difference == 0 else WIN if difference > 0 else LOSS
