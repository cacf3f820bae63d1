"""What the decisions on an item come to. Nothing else writes the fields of a classification that follow from them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection

from distill.records import Verdict
from lionweb.models import (
    EXCLUDING,
    OPINIONS,
    Classification,
    Decision,
    DecisionKind,
    Iteration,
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
_COLUMNS = {
    "review_state": "text",
    "opinions": "smallint",
    "opinions_needed": "smallint",
    "person_id": "bigint",
    "person_kind": "text",
    "person_verdict": "text",
    "person_reason": "text",
    "person_at": "timestamptz",
    "corrected_response_id": "bigint",
}
# bulk_update takes several times as long for thousands of rows.
_WRITE = f"""
    UPDATE lionweb_classification AS c SET {", ".join(f"{name} = n.{name}" for name in _COLUMNS)}
    FROM unnest(%s::bigint[], {", ".join(f"%s::{kind}[]" for kind in _COLUMNS.values())}) AS n (id, {", ".join(_COLUMNS)})
    WHERE c.id = n.id
"""

_STATES = """
    UPDATE lionweb_classification
    SET review_state = CASE WHEN person_kind = referee_verdict THEN 'confirmed' ELSE 'overridden' END
    WHERE iteration_id = %s AND review_state IN ('confirmed', 'overridden')
        AND review_state <> CASE WHEN person_kind = referee_verdict THEN 'confirmed' ELSE 'overridden' END
"""


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


def settle_held(rows: Sequence[Classification]) -> None:
    """Bring rows of one iteration up to date with their decisions, in the transaction that holds them and changed one.

    What was closed stays as it is. An instruction that people find bad, double or unsafe leaves the pools of later
    iterations, and comes back when they take that back. `verdict`, which the database makes, is not read again.
    """
    rows = [row for row in rows if row.review_state != ReviewState.CLOSED]
    if not rows:
        return
    iteration = rows[0].iteration
    reviewers = iteration.experiment.settings_json["gates"]["reviewers_per_item"]
    live: dict[int, list[Decision]] = defaultdict(list)
    for one in Decision.objects.filter(classification__in=rows, undone_at__isnull=True).order_by("pk"):
        live[one.classification_id].append(one)
    was_out = {row.pk for row in rows if row.person_kind in EXCLUDING}
    for row in rows:
        said, referee = live[row.pk], row.referee_verdict
        _note(row, outcome(said, referee_verdict=referee, reviewers=reviewers, in_queue=row.for_review))
    _write(rows)
    is_out = {row.pk for row in rows if row.person_kind in EXCLUDING}
    _move(iteration, [row.instruction_id for row in rows if row.pk in is_out - was_out], out=True)
    _move(iteration, [row.instruction_id for row in rows if row.pk in was_out - is_out], out=False)


def settle_verdicts(iteration: Iteration) -> None:
    """Say anew who confirmed and who overrode the referee, after its verdicts changed; nobody's decision does.

    The caller holds the gate against people who decide.
    """
    with connection.cursor() as cursor:
        cursor.execute(_STATES, [iteration.pk])


def _note(row: Classification, now: Outcome) -> None:
    decided = now.decided
    row.review_state = now.state
    row.opinions, row.opinions_needed = now.opinions, now.opinions_needed
    row.person_id = decided.person_id if decided else None
    row.person_kind = decided.kind if decided else ""
    row.person_verdict = VERDICT_OF[DecisionKind(decided.kind)] if decided else None
    row.person_reason = decided.comment if decided else ""
    row.person_at = decided.created_at if decided else None
    row.corrected_response_id = now.corrected_response_id


def _write(rows: Sequence[Classification]) -> None:
    columns = [[getattr(row, name) for row in rows] for name in ("pk", *_COLUMNS)]
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, columns)


def _move(iteration: Iteration, instructions: Sequence[int], *, out: bool) -> None:
    """Out of the pools of later iterations, or back into them."""
    if not instructions:
        return
    rows = Membership.objects.filter(experiment=iteration.experiment_id, instruction__in=instructions)
    before, after = (None, iteration.number) if out else (iteration.number, None)
    rows.filter(until=before).exclude(pool=MemberPool.HELDOUT).update(until=after)
