"""Verdicts: from the reviews of a pair to hard, easy or unscored, and from verdicts to the generator's seed sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from distill.records import Difficulty, Review, Verdict

_DIGITS = 9
"""Scores are rounded here, so that 8.3 - 7.3 meets a threshold of 1.0 although floats make it a hair less."""


@dataclass(frozen=True)
class Judgement:
    """Mean scores over the orders and what follows from them; all None when unscored.

    flipped: teacher first says that one is better, student first says the other: the position decided.
    """

    score_teacher: float | None
    score_student: float | None
    gap: float | None
    verdict: Verdict
    flipped: bool


UNSCORED = Judgement(None, None, None, Verdict.UNSCORED, False)


def orders_needed(mode: str) -> int:
    """How many orders a referee of this mode is asked in."""
    return 2 if mode == "pairwise" else 1


def judge(reviews: Sequence[Review], tau: float, *, orders_needed: int) -> Judgement:
    """Judge one pair by its reviews, oldest first; of several usable ones for an order the last counts.

    orders_needed: see the function of that name. Every order that was asked must have a usable review.
    """
    usable = {r.order: (r.score_teacher, r.score_student) for r in reviews if _has_scores(r)}
    if len(usable) < orders_needed or usable.keys() != {r.order for r in reviews}:
        return UNSCORED
    teacher = fmean(t for t, _ in usable.values() if t is not None)
    student = fmean(s for _, s in usable.values() if s is not None)
    gap, verdict = gap_and_verdict(teacher - student, tau)
    signs = {(t > s) - (t < s) for t, s in usable.values() if t is not None and s is not None}
    return Judgement(round(teacher, _DIGITS), round(student, _DIGITS), gap, verdict, {-1, 1} <= signs)


def gap_and_verdict(gap: float, tau: float) -> tuple[float, Verdict]:
    """The gap as it is stored, and what follows from it."""
    gap = round(gap, _DIGITS)
    return gap, Verdict.HARD if gap >= tau else Verdict.EASY


def averaged(by_referee: Sequence[Sequence[Review]]) -> list[Review]:
    """One review an order, its scores the mean over the referees; each referee's reviews oldest first.

    A referee without usable scores for an order that any of them was asked leaves that order without scores: a mean
    over some of the referees would be on another scale than the rest.
    """
    latest = [{r.order: r for r in reviews if _has_scores(r)} for reviews in by_referee]
    asked = dict.fromkeys(r.order for reviews in by_referee for r in reviews)
    return [_mean_review(order, [found.get(order) for found in latest]) for order in asked]


def _mean_review(order: str, found: Sequence[Review | None]) -> Review:
    teacher = [r.score_teacher for r in found if r is not None and r.score_teacher is not None]
    student = [r.score_student for r in found if r is not None and r.score_student is not None]
    if len(teacher) < len(found):
        return Review("", order, "", None, None)
    return Review("", order, "", fmean(teacher), fmean(student))


def seed_sets(verdicts: Mapping[str, Verdict]) -> dict[Difficulty, list[str]]:
    """Content hashes by difficulty, sorted: the order in which verdicts came in must not decide what is generated."""
    return {
        Difficulty.HARD: sorted(h for h, v in verdicts.items() if v == Verdict.HARD),
        Difficulty.EASY: sorted(h for h, v in verdicts.items() if v == Verdict.EASY),
    }


def _has_scores(review: Review) -> bool:
    return review.score_teacher is not None and review.score_student is not None
