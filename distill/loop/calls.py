"""Calls of a run: one client for all of them, each noted in the ledger, each result kept the moment it is there."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from distill.client import ChatClient
from distill.endpoint_check import check_endpoint
from distill.errors import CallInterrupted
from distill.failures import TRIES, too_many_failed
from distill.loop.journal import Journal
from distill.loop.progress import Count, Paused, Say, ShouldStop
from distill.loop.teacher import Teacher
from distill.records import Call, CallOutcome, ChatRequest, Purpose

Result = TypeVar("Result")
Keep = Callable[[CallOutcome], None]


class Calls:
    """`iteration` is written beside each call in the ledger."""

    def __init__(self, teacher: Teacher, ledger: Journal, say: Say, should_stop: ShouldStop) -> None:
        self.iteration = 0
        self._teacher, self._ledger, self._say, self._should_stop = teacher, ledger, say, should_stop
        self._runner = asyncio.Runner()
        self._client: ChatClient | None = None

    @property
    def author(self) -> str:
        return self._teacher.author

    def close(self) -> None:
        if self._client is not None:
            self._run(self._client.aclose())
        self._runner.close()
        self._teacher.close()

    def settle(self, label: str, total: int, open_requests: Callable[[], Iterable[ChatRequest]], keep: Keep) -> None:
        """Ask whatever lacks a result until nothing does; a row whose call fails again and again is left out.

        open_requests: for the rows that lack a result now, out of `total` in all.
        Raises CallsFailed if too many are left out, Paused on a stop.
        """
        failures: Counter[str] = Counter()
        last = ""
        while requests := [one for one in open_requests() if failures[one.key] < TRIES]:
            for outcome in self.ask(label, requests, keep):
                failures[outcome.key] += 1
                last = str(outcome.error)
        if error := too_many_failed(sum(n >= TRIES for n in failures.values()), total, last):
            raise error

    def ask(self, label: str, requests: Sequence[ChatRequest], keep: Keep) -> list[CallOutcome]:
        """`keep` gets every completion as it arrives; returned are the outcomes without one. Raises Paused on a stop."""
        if not requests:
            return []
        failed = self._run(self._stream(label, requests, keep))
        if self._should_stop():
            raise Paused
        return failed

    def supports_json_schema(self) -> bool:
        report = self._run(check_endpoint(self._teacher.endpoint()))
        self._note(Purpose.CHECK, report.calls)
        return report.supports_json_schema

    async def _stream(self, label: str, requests: Sequence[ChatRequest], keep: Keep) -> list[CallOutcome]:
        if self._client is None:
            self._client = ChatClient(self._teacher.endpoint())
        count, failed = Count(self._say, label, len(requests)), []
        purpose = requests[0].purpose
        async for outcome in self._client.stream(requests, should_stop=self._should_stop):
            self._note(purpose, outcome.calls)
            if outcome.completion is not None:
                keep(outcome)
            elif not isinstance(outcome.error, CallInterrupted):
                failed.append(outcome)
            count.add()
        return failed

    def _note(self, purpose: Purpose, calls: Iterable[Call]) -> None:
        for call in calls:
            self._ledger.append(
                {
                    "iteration": self.iteration,
                    "purpose": purpose,
                    "outcome": call.outcome,
                    "paid": call.paid,
                    "prompt_tokens": call.prompt_tokens,
                    "completion_tokens": call.completion_tokens,
                    "cost_usd": call.cost_usd,
                    "latency_seconds": round(call.latency_seconds, 4),
                }
            )

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)
