"""Progress lines, and the way to end a run early."""

from __future__ import annotations

import time
from collections.abc import Callable

from distill.errors import DistillError

SECONDS_BETWEEN_LINES = 2.0

Say = Callable[[str], None]
ShouldStop = Callable[[], bool]


class Paused(DistillError):
    """The run was asked to stop. Everything that came back before is in the files."""

    code = "paused"

    def __init__(self) -> None:
        super().__init__("Stopped.", "What is done is kept: run the same command again to go on.")


class Count:
    """Says how far a series is, now and then and at its end."""

    def __init__(self, say: Say, label: str, total: int) -> None:
        self._say, self._label, self._total, self._done = say, label, total, 0
        self._next_line_at = time.monotonic() + SECONDS_BETWEEN_LINES

    def add(self) -> None:
        self.reach(self._done + 1)

    def reach(self, done: int) -> None:
        self._done = done
        if self._done == self._total or time.monotonic() >= self._next_line_at:
            self._say(f"  {self._label}: {self._done} of {self._total}")
            self._next_line_at = time.monotonic() + SECONDS_BETWEEN_LINES
