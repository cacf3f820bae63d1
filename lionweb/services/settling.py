"""What the decisions on an item come to. Nothing else writes the fields of a classification that follow from them."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet

from distill.records import Verdict
from lionweb.models import (
    EXCLUDING,
    OPINIONS,
    Classification,
    Decision,
    DecisionKind,
    MemberPool,
    Membership,
    ReviewState,
)

VERDICT_OF = {
    kind: Verdict(kind.value) if kind in (DecisionKind.HARD, DecisionKind.EASY) else Verdict.UNSCORED
    for kind in DecisionKind
    if kind in OPINIONS
}
"""What an agreed decision makes of the verdict. Unscored instructions are no seed of the generation."""
FIELDS = (
    "review_state",
    "opinions",
    "opinions_needed",
    "person",
    "person_kind",
    "person_verdict",
    "person_reason",
    "person_at",
    "corrected_response",
)


@dataclass(frozen=True)
class Outcome:
    """`decided` speaks for all who agree; None as long as they are too few, or disagree."""

    state: ReviewState
    opinions: int
    opinions_needed: int
    decided: Decision | None = None
    corrected_response_id: int | None = None


def outcome(live: Sequence[Decision], *, referee_verdict: str, reviewers: int, in_queue: bool = True) -> Outcome:
    """What decisions that nobody took back come to, oldest first."""
    said = [d for d in live if d.kind in OPINIONS and not d.is_resolution]
    asks = [d for d in live if d.kind == DecisionKind.FLAG]
    resolutions = [d for d in live if d.kind in OPINIONS and d.is_resolution]
    needed = reviewers + bool(asks)
    if resolutions:
        return _agreed(resolutions[-1:], len(said), needed, referee_verdict)
    if len(said) < needed:
        return Outcome(_waiting(live, said, asks, in_queue), len(said), needed)
    if len({d.kind for d in said}) > 1:
        return Outcome(ReviewState.CONFLICT, len(said), needed)
    return _agreed(said, len(said), needed, referee_verdict)


def _waiting(
    live: Sequence[Decision], said: Sequence[Decision], asks: Sequence[Decision], in_queue: bool
) -> ReviewState:
    if asks:
        return ReviewState.FLAGGED
    if said:
        return ReviewState.PENDING
    if live:
        return ReviewState.SKIPPED
    return ReviewState.PENDING if in_queue else ReviewState.NONE


def _agreed(alike: Sequence[Decision], opinions: int, needed: int, referee_verdict: str) -> Outcome:
    corrected = [d.corrected_response_id for d in alike if d.corrected_response_id]
    last = alike[-1]
    state = ReviewState.CONFIRMED if last.kind == referee_verdict else ReviewState.OVERRIDDEN
    return Outcome(state, opinions, needed, last, corrected[-1] if corrected else None)


@transaction.atomic(savepoint=False)
def settle(classification: Classification) -> None:
    """Bring the row up to date with its decisions. Call it in the transaction that changed one of them.

    What was closed stays as it is. An instruction that people find bad, double or unsafe leaves the pools of later
    iterations, and comes back when they take that back.
    """
    rows = Classification.objects.select_for_update(no_key=True, of=("self",)).select_related("iteration__experiment")
    row = rows.get(pk=classification.pk)
    if row.review_state != ReviewState.CLOSED:
        _settle(row)
    classification.refresh_from_db(fields=[*FIELDS, "verdict"])


def _settle(row: Classification) -> None:
    gates = row.iteration.experiment.settings_json["gates"]
    now = outcome(
        list(row.decisions.filter(undone_at__isnull=True).order_by("pk")),
        referee_verdict=row.referee_verdict,
        reviewers=gates["reviewers_per_item"],
        in_queue=row.for_review,
    )
    _write(row, now)
    was_out, is_out = row.person_kind in EXCLUDING, now.decided is not None and now.decided.kind in EXCLUDING
    if was_out != is_out:
        _move_out(row) if is_out else _move_back(row)


def _write(row: Classification, now: Outcome) -> None:
    decided = now.decided
    Classification.objects.filter(pk=row.pk).update(
        review_state=now.state,
        opinions=now.opinions,
        opinions_needed=now.opinions_needed,
        person=decided.person_id if decided else None,
        person_kind=decided.kind if decided else "",
        person_verdict=VERDICT_OF[DecisionKind(decided.kind)] if decided else None,
        person_reason=decided.comment if decided else "",
        person_at=decided.created_at if decided else None,
        corrected_response=now.corrected_response_id,
    )


def _members(row: Classification) -> QuerySet[Membership]:
    experiment = row.iteration.experiment_id
    rows = Membership.objects.filter(instruction=row.instruction_id, experiment=experiment)
    return rows.exclude(pool=MemberPool.HELDOUT)


def _move_out(row: Classification) -> None:
    _members(row).filter(until__isnull=True).update(until=row.iteration.number)


def _move_back(row: Classification) -> None:
    _members(row).filter(until=row.iteration.number).update(until=None)
