"""The one writer of the ledger."""

from collections.abc import Iterable

from distill.records import Call, Purpose
from lionweb.models import Endpoint, ModelCall, Stage


def record_calls(*, endpoint: Endpoint, purpose: Purpose, calls: Iterable[Call], stage: Stage | None = None) -> None:
    """Append a row for each request that was sent. Call it in the transaction that stores what the calls brought."""
    ModelCall.objects.bulk_create(
        ModelCall(
            endpoint=endpoint,
            experiment_id=stage.iteration.experiment_id if stage else None,
            stage=stage,
            purpose=purpose,
            outcome=call.outcome,
            paid=call.paid,
            prompt_tokens=call.prompt_tokens,
            completion_tokens=call.completion_tokens,
            cost_usd=call.cost_usd,
            latency_seconds=call.latency_seconds,
        )
        for call in calls
    )
