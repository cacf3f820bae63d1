"""The parent's side of an inference process: rows in, rows out. Imports no torch."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Self

from distill.errors import DistillError, ModelLoadError, OutOfMemory

_POLL_SECONDS = 0.2
_END: dict[str, Any] = {}
_KILLED = (-9, 137)


class InferenceProcess:
    """`python -m distill.inference` with a model loaded as the header says; see that module for the protocol.

    Raises from `run`: the DistillError that the process told of, OutOfMemory where the system killed it.
    """

    def __init__(self, header: dict[str, Any]) -> None:
        self.header = header

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "distill.inference"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.rows: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, name="inference-rows", daemon=True).start()
        self._send(self.header)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Its input closes, so it ends; what it still computes is of no use to anybody."""
        self.process.kill()
        self.process.wait()

    def run(
        self, items: Iterable[dict[str, Any]], *, should_stop: Callable[[], bool] = lambda: False
    ) -> Iterator[dict[str, Any]]:
        """Send a batch and yield its results as they come, in any order; ends early once `should_stop` is true."""
        for item in items:
            self._send(item)
        self._send(None)
        while not should_stop():
            try:
                row = self.rows.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if row is _END:
                raise self._end()
            if "error" in row:
                raise _rebuilt(row["error"])
            if "done" in row:
                return
            if "ready" not in row:
                yield row

    def _send(self, item: dict[str, Any] | None) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write((json.dumps(item) if item is not None else "") + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return  # it ended; its last words are read by `run`

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.rows.put(json.loads(line))
        self.rows.put(_END)

    def _end(self) -> DistillError:
        code = self.process.wait()
        if code in _KILLED:
            return OutOfMemory(
                "The model's process was killed by the system, most likely for want of memory.",
                "Lower the student's batch_size or token limit, or use a machine with more memory.",
            )
        return ModelLoadError(
            f"The model's process ended with exit code {code} before it was done.", "The worker's log has the details."
        )


def _rebuilt(told: dict[str, str]) -> DistillError:
    """The error as the process knew it: same code, cause and advice."""
    error = DistillError(told.get("cause", ""), told.get("advice", ""))
    error.code = told.get("code", error.code)
    return error
