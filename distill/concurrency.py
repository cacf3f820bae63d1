"""How many calls may be under way at once, and how fast they may start: given limits, and what 429s teach."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

FIRST_BURST = 64  # no more calls than this start blindly; after that one more for each reply
BURST_SECONDS = 2.0  # how much of a minute's budget may be spent at once after a pause
STRIKES_BEFORE_HOLD = 3  # rejections of newly started calls in a row: the limit is one of rate, not of concurrency
LONGEST_PROBE_WAIT = 64  # in rounds of `limit` replies


@dataclass(frozen=True)
class ClientLimits:
    """One worker's share of an endpoint's limits. max_concurrency 0 pauses it; a rate of 0 means no known limit."""

    max_concurrency: int
    requests_per_minute: int = 0
    tokens_per_minute: int = 0


class MinuteBudget:
    """A rate per minute. It may run into debt (tokens are known only afterwards); then it waits until that is paid off."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._clock = per_minute / 60, clock
        self._capacity = max(1.0, self._rate * BURST_SECONDS)
        self._level, self._at = self._capacity, clock()

    def wait_seconds(self) -> float:
        """0: go ahead; otherwise how long until one unit is there."""
        if not self._rate:
            return 0.0
        now = self._clock()
        self._level = min(self._capacity, self._level + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (1 - self._level) / self._rate) if self._level < 1 - 1e-9 else 0.0

    def spend(self, amount: float) -> None:
        """Take an amount; a negative one gives back."""
        self._level -= amount


class ConcurrencyLimiter:
    """Hands out turns. Learns the concurrency at which 429s start, stays just under it and seldom probes above.

    Every rejection takes one place away, so a burst of 64 against a cap of 48 leaves 48. Rejections of calls that
    started after that count as strikes: after three without a reply in between, everything waits for the server's
    Retry-After, because then the limit is one of rate. Places come back one for each reply up to the level that
    was fine, and above it after ever longer quiet times.
    """

    def __init__(self, limits: ClientLimits, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ceiling = limits.max_concurrency
        self._fine = max(1, self._ceiling)
        self._limit = min(self._fine, FIRST_BURST)
        self._requests = MinuteBudget(limits.requests_per_minute, clock)
        self._tokens = MinuteBudget(limits.tokens_per_minute, clock)
        self._limits = limits
        self._waiting: tuple[deque[asyncio.Future[bool]], deque[asyncio.Future[bool]]] = (deque(), deque())
        self._timer: asyncio.TimerHandle | None = None
        self._hold_until = self._lowered_at = float("-inf")
        self._strikes, self._calm, self._probe_wait = 0, 0, 2
        self.in_flight = 0
        self.parked = 0

    @property
    def limit(self) -> int:
        """The concurrency in force now: the given one, or what the server was seen to bear."""
        return min(self._limit, self._ceiling)

    @property
    def ceiling(self) -> int:
        return self._ceiling

    def set_limits(self, limits: ClientLimits) -> None:
        """Take effect at once; calls under way above a lower limit finish."""
        learned = self._fine < self._ceiling
        self._ceiling = limits.max_concurrency
        self._fine = max(1, min(self._fine, self._ceiling) if learned else self._ceiling)
        self._limit = min(self._limit if learned else max(self._limit, FIRST_BURST), self._fine)
        if limits.requests_per_minute != self._limits.requests_per_minute:
            self._requests = MinuteBudget(limits.requests_per_minute, self._clock)
        if limits.tokens_per_minute != self._limits.tokens_per_minute:
            self._tokens = MinuteBudget(limits.tokens_per_minute, self._clock)
        self._limits = limits
        self._pump()

    def turn(self, *, urgent: bool = False) -> asyncio.Future[bool]:
        """A future that becomes True when a call may start; then `leave` must follow. Urgent ones go first."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[0 if urgent else 1].append(future)
        self._pump()
        return future

    def leave(self, *, unused: bool = False) -> None:
        """A call ended; unused: its turn was never taken, so it does not count against the rate."""
        self.in_flight -= 1
        if unused:
            self._requests.spend(-1)
        self._pump()

    def park(self, count: int) -> None:
        """Replies that nobody has stored yet take up places, so that a crash never loses more than the limit."""
        self.parked += count
        if count < 0:
            self._pump()

    def spend_tokens(self, amount: float) -> None:
        self._tokens.spend(amount)

    def hold(self, seconds: float) -> None:
        """Start nothing for a while."""
        self._hold_until = max(self._hold_until, self._clock() + seconds)

    def accepted(self, started_at: float) -> None:
        """A call was let in and answered (call before `leave`)."""
        if started_at >= self._lowered_at:
            self._strikes = 0
        if self._limit < self._fine:
            self._limit += 1
        elif self._limit < self._ceiling and self.in_flight >= self._limit:
            self._calm += 1
            if self._calm >= self._probe_wait * self._limit:
                self._probe()

    def rejected(self, started_at: float, wait_seconds: float) -> None:
        """A call got 429 (call after `leave`); wait_seconds is what the server or the backoff asks for."""
        new_episode = started_at >= self._lowered_at
        full = self.in_flight >= self._limit - 1
        self._limit = max(1, min(self._limit - 1, self.in_flight))
        if full:
            self._fine = min(self._fine, self._limit)
        self._calm = 0
        if new_episode:
            self._lowered_at = self._clock()
            self._strikes += 1
            self._probe_wait = min(LONGEST_PROBE_WAIT, self._probe_wait * 2)
        if self._strikes >= STRIKES_BEFORE_HOLD:
            self._strikes = 0
            self._limit = max(1, self._limit // 2)
            self.hold(wait_seconds)

    def _probe(self) -> None:
        self._fine += 1
        self._limit += 1
        self._calm = 0
        self._probe_wait = max(2, self._probe_wait - 1)

    def _blocked_seconds(self) -> float:
        return max(self._hold_until - self._clock(), self._requests.wait_seconds(), self._tokens.wait_seconds())

    def _pump(self) -> None:
        """Grant what may be granted now; come back when only time is in the way."""
        while (future := self._first()) is not None:
            if self.in_flight >= self.limit or self.in_flight + self.parked >= self._ceiling:
                return
            blocked = self._blocked_seconds()
            if blocked > 0:
                self._come_back_in(blocked)
                return
            self._waiting[0 if self._waiting[0] else 1].popleft()
            self.in_flight += 1
            self._requests.spend(1)
            future.set_result(True)

    def _first(self) -> asyncio.Future[bool] | None:
        for queue in self._waiting:
            while queue and queue[0].done():  # given up by whoever waited
                queue.popleft()
            if queue:
                return queue[0]
        return None

    def _come_back_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds + 0.001, self._pump)
