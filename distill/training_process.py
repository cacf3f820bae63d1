"""The training process as its parent sees it: events on stdout, no orphan, never two in one folder."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from distill.errors import TrainingError

LOCK_PATIENCE_SECONDS = 60.0
EXIT_ORPHANED = 76


class Events:
    """One JSON object a line on what was stdout; anything else that is printed goes to stderr."""

    def __init__(self, speaks: bool = True) -> None:
        self.speaks = speaks
        self._out: IO[str] | None = os.fdopen(os.dup(1), "w", encoding="utf-8") if speaks else None
        sys.stdout.flush()
        os.dup2(2, 1)

    def emit(self, event: str, **facts: Any) -> None:
        if self._out:
            self._out.write(json.dumps({"event": event, **facts}) + "\n")
            self._out.flush()


class StopSignal:
    """Set by SIGTERM and SIGINT; the loop looks at it between two steps."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._asked.set())

    def is_set(self) -> bool:
        return self._asked.is_set()


def die_with_parent() -> None:
    """End at once when stdin does: nobody listens any more, and the last resume point is on the disk."""

    def watch() -> None:
        while os.read(0, 1024):
            pass
        os._exit(EXIT_ORPHANED)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()


@contextlib.contextmanager
def sole_use(work: Path, patience_seconds: float = LOCK_PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the work folder's lock, waiting for a process that is about to end. The kernel frees it at any death."""
    work.mkdir(parents=True, exist_ok=True)
    with (work / "lock").open("w") as lock:
        deadline = time.monotonic() + patience_seconds
        while not _locked(lock):
            if time.monotonic() > deadline:
                raise TrainingError(
                    f"Another process is training in {work}.", "Wait until it has ended, or stop it first."
                )
            time.sleep(0.1)
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
