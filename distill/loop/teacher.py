"""Where the teacher is: a given endpoint, or the bundled one, started only once something is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any, Protocol

from distill.errors import EndpointUnreachable
from distill.records import Endpoint

BUNDLED_MODEL = "SmolLM2-135M-Instruct"
PARALLEL = 16
START_SECONDS = 120.0
_STOP_SECONDS = 10.0


class Teacher(Protocol):
    author: str  # model@address: under this name its responses are kept

    def endpoint(self) -> Endpoint: ...

    def close(self) -> None: ...


class GivenTeacher:
    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self.author = f"{endpoint.model}@{endpoint.base_url}"

    def endpoint(self) -> Endpoint:
        return self._endpoint

    def close(self) -> None:
        """Nothing was started."""


class BundledTeacher:
    """A server of our own on a free port. Its port changes, so its address is no part of its name."""

    author = f"{BUNDLED_MODEL}@bundled"

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._folder = tempfile.TemporaryDirectory(prefix="distill-teacher-")
        self._process: subprocess.Popen[bytes] | None = None
        self._endpoint: Endpoint | None = None

    def endpoint(self) -> Endpoint:
        """Raises EndpointUnreachable if the server does not start."""
        if self._endpoint is None:
            state = self._start()
            self._endpoint = Endpoint(state["base_url"], state["model"], max_concurrency=PARALLEL)
        return self._endpoint

    def close(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._folder.cleanup()

    def _start(self) -> Any:
        folder = Path(self._folder.name)
        state, log = folder / "state.json", folder / "log"
        with log.open("wb") as stream:
            # a session of its own: a Ctrl-C in the terminal must not end it while its last answers are awaited
            self._process = subprocess.Popen(
                self._command(state), stdout=stream, stderr=stream, env=_environment(), start_new_session=True
            )
        give_up = time.monotonic() + START_SECONDS
        while self._process.poll() is None and time.monotonic() < give_up:
            if (found := _read(state)) is not None:
                return found
            time.sleep(0.1)
        said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["it said nothing"]
        raise EndpointUnreachable(
            f"The bundled teacher did not start: {said[0]}.", "Or give another teacher with --base-url and --model."
        )

    def _command(self, state: Path) -> list[str]:
        place = ["--host", "127.0.0.1", "--port", "0", "--state-file", str(state)]
        work = ["--threads", str(self._threads or usable_cores()), "--parallel", str(PARALLEL)]
        return [sys.executable, "-m", "distill.teacher_server", *place, *work, "--parent-pid", str(os.getpid())]


def _environment() -> dict[str, str]:
    """So that the package is found from any working folder."""
    paths = [str(Path(__file__).resolve().parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read(path: Path) -> Any | None:
    try:
        with path.open() as file:
            return _json(file)
    except FileNotFoundError:
        return None


def _json(file: IO[str]) -> Any | None:
    try:
        return json.load(file)
    except ValueError:  # it is being written
        return None
