"""The parent's side of `python -m distill.inference`. Imports no torch, so a worker stays small."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from distill import errors
from distill.errors import DistillError, OutOfMemory

_POLL_SECONDS = 0.2
_EXIT_SECONDS = 5.0
_ROOT = Path(__file__).resolve().parent.parent

Row = dict[str, Any]


class InferenceProcess:
    """A loaded model in a child process: `run` may be called again and again, each time with new items.

    The child ends with the `with` block, when `should_stop` says so, and by itself when this process dies.
    """

    def __init__(self, header: Row) -> None:
        self.header = header
        self.results: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def __enter__(self) -> Self:
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH")]))
        self.child = subprocess.Popen(
            [sys.executable, "-m", "distill.inference"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C reaches this process, which then closes the child's input
        )
        threading.Thread(target=self._collect, daemon=True).start()
        self._send([self.header], end="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._stdin.close()
        try:
            self.child.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
        self.log.close()

    def run(self, items: Iterable[Row], should_stop: Callable[[], bool] = lambda: False) -> Iterator[Row]:
        """Results as they come, not in the items' order; fewer than items if `should_stop` turned true.

        Raises the child's DistillError, or OutOfMemory where the system killed it.
        """
        self._send(items, end="\n")
        while True:
            if should_stop():
                self._kill()
                return
            try:
                line = self.results.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                continue
            if line is None:
                raise self._death()
            row = json.loads(line)
            if "error" in row:
                raise rebuilt(row["error"])
            if "done" in row:
                return
            if "ready" not in row:
                yield row

    @property
    def _stdin(self) -> Any:
        return self.child.stdin

    def _send(self, rows: Iterable[Row], end: str) -> None:
        """The child reads all the time, so this does not wait for the model; if it has died, `run` tells why."""
        with contextlib.suppress(BrokenPipeError):
            for row in rows:
                self._stdin.write(json.dumps(row) + "\n")
            self._stdin.write(end)
            self._stdin.flush()

    def _collect(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            self.results.put(line)
        self.results.put(None)

    def _kill(self) -> None:
        self.child.kill()
        self.child.wait()

    def _death(self) -> DistillError:
        code = self.child.wait()
        if code == -9:
            return OutOfMemory(
                "The model's process was killed, most likely because memory ran out.",
                "Lower the student's batch size or token limit, choose a smaller model, or close other programs.",
            )
        self.log.seek(0)
        lines = self.log.read().decode("utf-8", "replace").strip().splitlines()
        said = f": {lines[-1][:300]}" if lines else ""
        return DistillError(f"The model's process ended with code {code}{said}.", "See the worker's log.")


def rebuilt(told: dict[str, str]) -> DistillError:
    """The child's error, of its own class where that takes no more than a cause and an advice."""
    kinds = {kind.code: kind for kind in vars(errors).values() if _is_plain(kind)}
    error: DistillError = kinds.get(told["code"], DistillError)(told["cause"], told["advice"])
    error.code = told["code"]
    return error


def _is_plain(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, DistillError) and kind.__init__ is DistillError.__init__
