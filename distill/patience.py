"""How long to wait for a reply, by the replies seen: a hung connection costs seconds, a slow one is not abandoned."""

from __future__ import annotations

from collections import deque

WINDOW = 512
ENOUGH = 30  # replies before the estimate is trusted
FLOOR_SECONDS = 2.0
GENEROSITY = 3.0  # times the longest plausible reply
SHARE_OF_HANGS = 0.03  # more time-outs than this look like our own impatience, so patience grows
NOT_OVERTAKEN = 5.0  # times more patience while no later call was answered first: the whole server may be slow


class Patience:
    """Fits latency = base + tokens x pace over a window and allows for the longest reply a request may get.

    So a request with max_tokens 4096 gets the time 4096 tokens take, while on a server whose latency does not
    depend on the length it gets a few times the usual. Before ENOUGH replies: the ceiling.
    """

    def __init__(self, ceiling_seconds: float) -> None:
        self._ceiling = ceiling_seconds
        self._seen: deque[tuple[float, float, int]] = deque(maxlen=WINDOW)  # started, latency, completion tokens
        self._ends: deque[bool] = deque(maxlen=200)  # True: timed out
        self._fit: tuple[float, float, float] | None = None  # base, pace, quantile of actual / fitted
        self._fitted_at = 0
        self._replies = 0
        self._mean_tokens = 0.0

    @property
    def mean_tokens(self) -> float | None:
        """Completion tokens of a usual reply; None before enough were seen."""
        return self._mean_tokens if self._replies >= ENOUGH else None

    def replied(self, started_at: float, latency_seconds: float, completion_tokens: int) -> None:
        self._seen.append((started_at, latency_seconds, completion_tokens))
        self._ends.append(False)
        self._replies += 1
        self._mean_tokens += (completion_tokens - self._mean_tokens) / min(self._replies, WINDOW)

    def timed_out(self) -> None:
        self._ends.append(True)

    def allowed_seconds(self, max_tokens: int, timeouts: int = 0) -> float:
        """For one request; `timeouts` is how often this same request timed out before (each doubles)."""
        if len(self._seen) < ENOUGH:
            return self._ceiling
        base, pace, spread = self._fitted()
        longest = (base + pace * max_tokens) * spread
        hangs = sum(self._ends) / len(self._ends) / SHARE_OF_HANGS
        generosity = (GENEROSITY + 60 / len(self._seen)) * max(1.0, hangs) * 2**timeouts
        return min(self._ceiling, max(FLOOR_SECONDS, longest * generosity))

    def overtaken_by(self, started_at: float) -> int:
        """How many calls that started later were answered already (of the window)."""
        return sum(1 for row in self._seen if row[0] > started_at)

    def hopeless(
        self, started_at: float, now: float, max_tokens: int, timeouts: int, in_flight: int, limit: int
    ) -> bool:
        """Whether a call under way should be given up. A server that is slow for everyone is given more time."""
        age = now - started_at
        if age < FLOOR_SECONDS:
            return False
        allowed = self.allowed_seconds(max_tokens, timeouts)
        if age < allowed:
            return False
        few = in_flight <= max(4, limit // 4)
        return few or self.overtaken_by(started_at) >= max(3, limit // 4) or age > allowed * NOT_OVERTAKEN

    def _fitted(self) -> tuple[float, float, float]:
        if self._fit is None or self._replies - self._fitted_at >= 32:
            self._fit, self._fitted_at = _fit([(row[1], row[2]) for row in self._seen]), self._replies
        return self._fit


def _fit(rows: list[tuple[float, int]]) -> tuple[float, float, float]:
    """Least squares with a slope of at least 0, and the 99.5 % quantile of actual over fitted latency."""
    n = len(rows)
    mean_y, mean_x = sum(y for y, _ in rows) / n, sum(x for _, x in rows) / n
    spread_x = sum((x - mean_x) ** 2 for _, x in rows)
    slope = sum((x - mean_x) * (y - mean_y) for y, x in rows) / spread_x if spread_x else 0.0
    pace = max(0.0, slope)
    fastest = min(y for y, _ in rows)
    base = max(0.0, mean_y - pace * mean_x)
    ratios = sorted(y / max(base + pace * x, fastest, 1e-6) for y, x in rows)
    return max(base, fastest), pace, max(1.0, ratios[min(n - 1, int(n * 0.995))])
