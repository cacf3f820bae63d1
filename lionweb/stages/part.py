"""What a stage consists of: parts, each a set of rows that lack a result, and the queue that works on them."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from distill.records import CallOutcome, ChatRequest
from distill.training_job import TrainingJob
from lionweb.models import Endpoint, Lease, Stage


class Part(Protocol):
    stage: Stage
    name: str
    queue: str  # api, gpu or default
    label: str  # for people

    def total_rows(self) -> int: ...

    def open_rows(self) -> int:
        """Rows that lack a result and did not fail for good."""
        ...


@runtime_checkable
class CallPart(Part, Protocol):
    """Rows that need one call to an endpoint each."""

    endpoint: Endpoint

    def claim(self, lease: Lease, limit: int) -> list[ChatRequest]: ...

    def store(self, outcomes: Sequence[CallOutcome]) -> None:
        """Keep what came back, in one transaction; storing it twice changes nothing."""
        ...


@runtime_checkable
class InferencePart(Part, Protocol):
    """Rows that need the student or local weights: one process, rows in, rows out."""

    def header(self) -> dict[str, Any]: ...

    def claim_items(self, lease: Lease, limit: int) -> list[dict[str, Any]]: ...

    def store_rows(self, rows: Sequence[dict[str, Any]]) -> None: ...


@runtime_checkable
class TrainingPart(Part, Protocol):
    def job(self) -> TrainingJob: ...

    def on_event(self, event: dict[str, Any]) -> None: ...


@runtime_checkable
class PlainPart(Part, Protocol):
    """Work for the database's own data: no model in it."""

    def work(self) -> None: ...
