"""What all calls have in common when their outcomes are stored: the ledger, and items that failed for good."""

from collections.abc import Mapping, Sequence

from django.db.models import F

from distill.errors import CallInterrupted
from distill.records import CallOutcome, Purpose
from lionweb.models import Endpoint, ItemFailure, Stage
from lionweb.services import leases
from lionweb.services.ledger import record_calls


def write_ledger(*, stage: Stage, endpoint: Endpoint, purpose: Purpose, outcomes: Sequence[CallOutcome]) -> None:
    calls = [call for outcome in outcomes for call in outcome.calls]
    record_calls(endpoint=endpoint, purpose=purpose, calls=calls, stage=stage)


def write_failures(*, stage: Stage, outcomes: Sequence[CallOutcome], instructions: Mapping[str, int]) -> None:
    """Count the items without a completion. instructions: item key to instruction id."""
    for outcome in outcomes:
        if outcome.completion is not None or is_interrupted(outcome):
            continue
        changed = ItemFailure.objects.filter(stage=stage, key=outcome.key).update(
            attempts=F("attempts") + 1, message=str(outcome.error)
        )
        if not changed:
            ItemFailure.objects.create(
                stage=stage,
                key=outcome.key,
                instruction_id=instructions.get(outcome.key),
                message=str(outcome.error),
            )


def is_interrupted(outcome: CallOutcome) -> bool:
    """The call was broken off by a pause: its item stays open, it did not fail."""
    return isinstance(outcome.error, CallInterrupted)


def free(outcomes: Sequence[CallOutcome]) -> None:
    leases.unclaim(keys=[outcome.key for outcome in outcomes])
