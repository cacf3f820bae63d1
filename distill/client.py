"""The one client of teacher, referee and generator endpoints: many calls at once, each paid once, each outcome at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from types import TracebackType
from typing import Self

from distill.attempt import Attempt, Ticket
from distill.concurrency import ClientLimits, ConcurrencyLimiter
from distill.endpoint_url import safe_base_url
from distill.errors import CallFailed, CallInterrupted, DistillError, EndpointError, EndpointUnreachable
from distill.patience import Patience
from distill.records import CallOutcome, ChatRequest, Completion, Endpoint
from distill.refusals import Setback
from distill.wire import Wire

__all__ = ["ChatClient", "ClientLimits", "safe_base_url"]

MAX_REJECTIONS = 30  # 429s for one request; each is waited out
LOST_IN_A_ROW = 5  # requests lost without a single reply from the endpoint in between: it is down
TICK_SECONDS = 0.1


def never() -> bool:
    return False


class ChatClient:
    """Calls one endpoint. Belongs to the event loop it is first used in; the limits hold over all its streams.

    - 429: Retry-After is honoured and the cap learned. 5xx, broken connections, time-outs: asked again after a
      jittered backoff, at most `max_attempts` calls a request.
    - A reply that was paid for is kept, whatever is left of it: broken off (Finish.TRUNCATED), cut at the token
      limit, or empty. It is not asked for again. Only a reply of which no text arrived at all is asked for once more,
      with the lost one in `calls` as paid: without a text the money is gone either way, and a second loss ends it.
    - A time-out is counted as unpaid, though a provider may bill a reply that it was still writing.
    """

    def __init__(self, endpoint: Endpoint, *, max_attempts: int = 6, timeout_ceiling_seconds: float = 600.0) -> None:
        limits = ClientLimits(endpoint.max_concurrency, endpoint.requests_per_minute, endpoint.tokens_per_minute)
        self.limiter = ConcurrencyLimiter(limits)
        self.max_attempts = max_attempts
        self._endpoint = endpoint
        self._wire = Wire(endpoint)
        self._patience = Patience(timeout_ceiling_seconds)
        self.attempt = Attempt(endpoint, self._wire, self.limiter, self._patience, timeout_ceiling_seconds)
        self._lost_in_a_row = 0
        self._last_reply_at = float("-inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._wire.aclose()

    def set_limits(self, limits: ClientLimits) -> None:
        """Change this client's share of the endpoint's limits; takes effect at once, also in running streams."""
        self.limiter.set_limits(limits)

    async def stream(
        self, requests: Iterable[ChatRequest], *, should_stop: Callable[[], bool] = never
    ) -> AsyncGenerator[CallOutcome, None]:
        """Yield each outcome the moment it is there, in any order; a request is pulled when it can be sent.

        `should_stop` is asked before each new request and ten times a second, so it must be cheap. Once it is true,
        calls under way finish and are yielded. What was not started, or was waiting to be asked again, yields
        nothing and stays open, unless a lost call of it was paid: then CallInterrupted brings the bill.
        An EndpointError is raised after all calls under way have been yielded, and leaves requests open likewise.
        At most max_concurrency calls are under way or yielded but not yet stored (the consumer has not come back).
        """
        run = _Run(self, should_stop)
        feeder, watchdog = asyncio.create_task(run.feed(iter(requests))), asyncio.create_task(run.watch())
        watchdog.add_done_callback(run.notice)
        try:
            while (outcome := await run.ready.get()) is not None:
                yield outcome
                run.stored()
            await asyncio.wait([feeder])
            run.notice(feeder)
            if run.failure is not None:
                raise run.failure
        finally:
            await run.abandon([feeder, watchdog])

    def settle(self, ticket: Ticket, result: Completion | Setback) -> Completion | DistillError | None:
        """What a call's result means for its request: done, lost with this error, or (None) to be asked again."""
        if isinstance(result, Completion):
            self._lost_in_a_row, self._last_reply_at = 0, time.monotonic()
            return result
        if result.error is not None:
            return result.error
        if result.outcome == "rate_limited":
            ticket.rejections += 1
            lost = ticket.rejections >= MAX_REJECTIONS
        elif result.rename_max_tokens:
            self._wire.rename_max_tokens()
            lost = False
        else:
            ticket.failures += 1
            lost = ticket.failures >= self.max_attempts or sum(call.paid for call in ticket.calls) > 1
        return self._loss(ticket, result) if lost else None

    def _loss(self, ticket: Ticket, last: Setback) -> DistillError:
        """A request ran out of tries. If nothing at all succeeds any more, the endpoint is to blame, not the request."""
        if self._last_reply_at < ticket.first_sent_at:
            self._lost_in_a_row += 1
            if last.unreachable or self._lost_in_a_row >= LOST_IN_A_ROW:
                advice = "Check that the server runs and that the URL is right, then resume."
                return EndpointUnreachable(f"{last.cause} No reply came after {len(ticket.calls)} tries.", advice)
        return CallFailed(f"{last.cause} Given up after {len(ticket.calls)} calls.", "Ask again later.")


class _Run:
    """One stream: feeds requests into turns, keeps what is under way, and closes on a stop or a hopeless endpoint."""

    def __init__(self, client: ChatClient, should_stop: Callable[[], bool]) -> None:
        self._client, self._limiter, self._should_stop = client, client.limiter, should_stop
        self.ready: asyncio.Queue[CallOutcome | None] = asyncio.Queue()
        self.failure: BaseException | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._waits: set[asyncio.Future[bool]] = set()
        self._backing_off = self._parked = 0
        self._closing = False

    async def feed(self, requests: Iterable[ChatRequest]) -> None:
        """Start calls until the requests end or the run closes, then wait for the calls under way."""
        pull = iter(requests)
        try:
            while await self._turn():
                request = self._next(pull)
                if request is None:
                    break
                task = asyncio.create_task(self._answer(request))
                self._calls.add(task)
                task.add_done_callback(self._ended)
                await asyncio.sleep(0)  # let it be sent before the next is made: else all wait for the last to be made
                while self._backing_off > max(4, self._limiter.ceiling) and not self._closing:
                    await asyncio.sleep(TICK_SECONDS)  # an outage: pull no more until some of these are settled
        finally:
            while self._calls:
                await asyncio.wait(self._calls)
            self.ready.put_nowait(None)

    def _next(self, pull: Iterator[ChatRequest]) -> ChatRequest | None:
        """The next request for the turn that is held; None, and the turn given back, if there is none."""
        request = None
        try:
            self._poll_stop()
            request = None if self._closing else next(pull, None)
        finally:
            if request is None:
                self._limiter.leave(unused=True)
        return request

    async def watch(self) -> None:
        """Give up hung calls and notice a stop while nothing else happens."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            self._client.attempt.give_up_hung()
            self._poll_stop()

    def notice(self, task: asyncio.Task[None]) -> None:
        """Remember the first error of a task (the caller's iterator or should_stop may raise) and close."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def stored(self) -> None:
        self._parked -= 1
        self._limiter.park(-1)

    async def abandon(self, tasks: list[asyncio.Task[None]]) -> None:
        """End everything now; a no-op after a regular end."""
        self._close()
        await asyncio.sleep(0)  # a task that never ran could not give its turn back
        everything = [*tasks, *self._calls]
        for task in everything:
            task.cancel()
        await asyncio.gather(*everything, return_exceptions=True)
        self._limiter.park(-self._parked)
        self._parked = 0

    async def _answer(self, request: ChatRequest) -> None:
        """See one request through to its outcome. A turn is held when this starts."""
        ticket = Ticket(request)
        while True:
            result = await self._client.attempt.run(ticket)
            settled = self._client.settle(ticket, result)
            if settled is None and isinstance(result, Setback) and await self._again(ticket.backoff_seconds(result)):
                continue
            if isinstance(settled, EndpointError):
                self._fail(settled)
            self._finish(ticket, settled)
            return

    def _finish(self, ticket: Ticket, settled: Completion | DistillError | None) -> None:
        if isinstance(settled, Completion):
            outcome = CallOutcome(ticket.request.key, settled, None, tuple(ticket.calls))
        elif settled is not None and not isinstance(settled, EndpointError):
            outcome = CallOutcome(ticket.request.key, None, settled, tuple(ticket.calls))
        elif any(call.paid for call in ticket.calls):
            error = CallInterrupted("The stream stopped before this request was answered.", "Ask again later.")
            outcome = CallOutcome(ticket.request.key, None, error, tuple(ticket.calls))
        else:
            return
        self._parked += 1
        self._limiter.park(1)
        self.ready.put_nowait(outcome)

    async def _again(self, delay_seconds: float) -> bool:
        """Wait for the backoff and a new turn; False: the run closes first."""
        self._backing_off += 1
        try:
            return await self._pause(delay_seconds) and await self._turn(urgent=True)
        finally:
            self._backing_off -= 1

    async def _pause(self, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        over: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _set_true, over)
        try:
            return await self._wait(over)
        finally:
            timer.cancel()

    async def _turn(self, *, urgent: bool = False) -> bool:
        """Wait for a turn; False, and none is held, if the run closes first."""
        future = self._limiter.turn(urgent=urgent)
        try:
            return await self._wait(future)
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.result():
                self._limiter.leave(unused=True)
            raise

    async def _wait(self, future: asyncio.Future[bool]) -> bool:
        self._waits.add(future)
        if self._closing and not future.done():
            future.set_result(False)
        try:
            return await future
        finally:
            self._waits.discard(future)

    def _poll_stop(self) -> None:
        if not self._closing and self._should_stop():
            self._close()

    def _fail(self, error: BaseException) -> None:
        self.failure = self.failure or error
        self._close()

    def _close(self) -> None:
        self._closing = True
        for future in self._waits:
            if not future.done():
                future.set_result(False)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self.notice(task)


def _set_true(future: asyncio.Future[bool]) -> None:
    if not future.done():
        future.set_result(True)
