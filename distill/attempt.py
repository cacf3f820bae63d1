"""One HTTP request from its start to its line in the ledger."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from distill.concurrency import ConcurrencyLimiter
from distill.errors import NotAnOpenAIEndpoint
from distill.patience import Patience
from distill.records import Call, ChatRequest, Completion, Endpoint, Finish
from distill.refusals import Setback, judge, retry_after, used_up_seconds, what_it_says
from distill.replies import Reply, estimated_tokens, parsed, prompt_tokens, read_reply, salvage
from distill.wire import Answer, NoAnswer, Wire

FIRST_BACKOFF_SECONDS, BACKOFF_GROWTH, LONGEST_BACKOFF_SECONDS = 0.4, 2.5, 30.0
DISCONNECT_SECONDS = 0.1  # after hanging up, time for the server to notice before the place is used again
WORDS = {Finish.LENGTH: "length", Finish.TRUNCATED: "truncated", Finish.EMPTY: "empty"}


@dataclass
class Ticket:
    """A request and what was already tried for it."""

    request: ChatRequest
    calls: list[Call] = field(default_factory=list)
    failures: int = 0
    rejections: int = 0
    timeouts: int = 0
    first_sent_at: float = field(default_factory=time.monotonic)

    def backoff_seconds(self, setback: Setback) -> float:
        """The wait before the next try: what the server asks for plus a little, or a jittered exponential one."""
        if setback.rename_max_tokens:
            return 0.0
        if setback.wait_seconds is not None:
            return setback.wait_seconds * random.uniform(1.0, 1.1)
        tries = max(self.rejections if setback.outcome == "rate_limited" else self.failures, 1)
        longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * BACKOFF_GROWTH ** (tries - 1))
        return longest * random.uniform(0.5, 1.0)


@dataclass(eq=False)
class _Flight:
    ticket: Ticket
    started_at: float
    deadline: asyncio.Timeout


class Attempt:
    """Sends requests, watches them while they are under way and reads what came back."""

    def __init__(
        self, endpoint: Endpoint, wire: Wire, limiter: ConcurrencyLimiter, patience: Patience, ceiling_seconds: float
    ) -> None:
        self._endpoint, self._wire, self._limiter, self._patience = endpoint, wire, limiter, patience
        self._ceiling_seconds = ceiling_seconds
        self._flights: set[_Flight] = set()
        self._ever_replied = False

    def give_up_hung(self) -> None:
        """End the calls that have waited longer than the latencies seen explain."""
        now, loop = time.monotonic(), asyncio.get_running_loop()
        for flight in self._flights:
            if not flight.deadline.expired() and self._patience.hopeless(
                flight.started_at,
                now,
                flight.ticket.request.sampling.max_tokens,
                flight.ticket.timeouts,
                len(self._flights),
                self._limiter.limit,
            ):
                flight.deadline.reschedule(loop.time())

    async def run(self, ticket: Ticket) -> Completion | Setback:
        """One call. The turn that is held is given back; the call is on the ticket's list."""
        expected = self._expected_tokens(ticket.request)
        self._limiter.spend_tokens(expected)
        started_at = time.monotonic()
        result: Reply | Setback = Setback("cut_off", "The call was cancelled.")
        try:
            result = await self._exchange(ticket, started_at)
            latency = time.monotonic() - started_at
            if isinstance(result, Setback) and result.outcome == "timeout":
                ticket.timeouts += 1
                await asyncio.sleep(DISCONNECT_SECONDS)
        finally:
            self._land(ticket, result, started_at)
        call, entered = self._entry(ticket.request, result, latency)
        ticket.calls.append(call)
        self._limiter.spend_tokens(call.prompt_tokens + call.completion_tokens - expected)
        if isinstance(entered, Completion) and call.paid:
            self._ever_replied = True
            self._patience.replied(started_at, latency, call.completion_tokens)
        return entered

    def _land(self, ticket: Ticket, result: Reply | Setback, started_at: float) -> None:
        """Give the turn back and tell the limiter what became of the call."""
        if isinstance(result, Reply):
            self._limiter.accepted(started_at)
        self._limiter.leave()
        if isinstance(result, Setback) and result.outcome == "rate_limited" and result.error is None:
            self._limiter.rejected(started_at, ticket.backoff_seconds(result))

    def _expected_tokens(self, request: ChatRequest) -> int:
        usual = self._patience.mean_tokens
        longest = request.sampling.max_tokens
        return prompt_tokens(request.messages) + (longest if usual is None else min(longest, round(usual)))

    async def _exchange(self, ticket: Ticket, started_at: float) -> Reply | Setback:
        sent = self._wire.body(ticket.request)
        heard: list[bytes] = []
        try:
            async with asyncio.timeout(self._ceiling_seconds) as deadline:
                with self._watched(_Flight(ticket, started_at, deadline)):
                    answer = await self._wire.chat(sent, heard)
        except TimeoutError:
            return self._timed_out(b"".join(heard), time.monotonic() - started_at)
        except NoAnswer as error:
            return Setback("cut_off", f"{self._endpoint.base_url} gave no answer: {error}.", unreachable=True)
        return self._read(answer, sent)

    @contextmanager
    def _watched(self, flight: _Flight) -> Iterator[None]:
        self._flights.add(flight)
        try:
            yield
        finally:
            self._flights.discard(flight)

    def _timed_out(self, heard: bytes, seconds: float) -> Reply | Setback:
        if reply := salvage(heard):
            return reply
        self._patience.timed_out()
        return Setback("timeout", f"{self._endpoint.base_url} gave no answer within {seconds:.0f} seconds.")

    def _read(self, answer: Answer, sent: Mapping[str, Any]) -> Reply | Setback:
        if not 200 <= answer.status < 300:
            setback = judge(answer.status, answer.headers, answer.body, self._endpoint, sent)
            return Reply("", Finish.FILTERED, 0, 0) if setback.filtered else setback
        if (used_up := used_up_seconds(answer.headers)) > 0:
            self._limiter.hold(used_up)
        data = parsed(answer.body)
        if (reply := read_reply(data)) is not None:
            return reply
        if isinstance(data, dict) and data.get("error"):
            return self._error_in_a_success(data, answer, sent)
        if data is None and (reply := salvage(answer.body)) is not None:
            return reply
        return self._unreadable(answer, data)

    def _error_in_a_success(self, data: dict[str, Any], answer: Answer, sent: Mapping[str, Any]) -> Reply | Setback:
        """Some routers answer 200 and put the real status into the error's code."""
        error = data["error"]
        code = error.get("code") if isinstance(error, dict) else None
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
        return judge(status, answer.headers, answer.body, self._endpoint, sent)

    def _unreadable(self, answer: Answer, data: Any) -> Setback:
        """A 200 without any text: a reply lost on the way, or a server of another kind."""
        where = self._endpoint.base_url
        if data is None and (answer.broken or not answer.body or answer.body.lstrip()[:1] == b"{"):
            return Setback("cut_off", f"{where} sent a reply that broke off before its text began.", paid=True)
        cause = f"{where} answered, but not with a chat completion."
        if self._ever_replied:
            return Setback("server_error", cause, wait_seconds=retry_after(answer.headers))
        said = what_it_says(answer.body, self._endpoint) or answer.headers.get("content-type", "no content type")
        error = NotAnOpenAIEndpoint(f"{cause[:-1]} ({said}).", "Check the base URL: it usually ends in /v1.")
        return Setback("refused", error.cause, error)

    def _entry(
        self, request: ChatRequest, result: Reply | Setback, latency: float
    ) -> tuple[Call, Completion | Setback]:
        """The ledger's line and, for a reply, the completion made of it. Tokens the server does not report are estimated."""
        if isinstance(result, Setback):
            asked = prompt_tokens(request.messages) if result.paid else 0
            return Call(result.outcome, latency, result.paid, asked, 0, self._endpoint.cost_usd(asked, 0)), result
        refused = result.finish is Finish.FILTERED and result.prompt_tokens == 0
        asked = prompt_tokens(request.messages) if result.prompt_tokens is None else result.prompt_tokens
        written = estimated_tokens(result.text) if result.completion_tokens is None else result.completion_tokens
        cost = self._endpoint.cost_usd(asked, written)
        word = "refused" if refused else WORDS.get(result.finish, "ok")
        call = Call(word, latency, not refused, asked, written, cost)
        return call, Completion(result.text, result.finish, asked, written, cost, result.model)
