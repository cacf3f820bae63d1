"""One supervised process: how it is started, what it said, and how it ends."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lionweb.local import home
from lionweb.local.leash import leash

LONGEST_WAIT_SECONDS = 30.0
SETTLED_SECONDS = 30.0


def nothing() -> None:
    """Most programs need no preparation."""


def alive(_: "Child") -> bool:
    """For programs that cannot be asked whether they are ready."""
    return True


@dataclass(frozen=True)
class Program:
    """What to run. prepare runs before every start and may raise CannotStart; ready is asked until it says yes."""

    name: str
    argv: list[str]
    ready: Callable[["Child"], bool] = alive
    prepare: Callable[[], None] = nothing
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    working_folder: Path = home.REPOSITORY
    stop_signal: signal.Signals = signal.SIGTERM
    death_signal: signal.Signals = signal.SIGKILL
    grace_seconds: float = 8.0
    user: tuple[int, int] | None = None
    open_doors: bool = False
    descriptors: tuple[int, ...] = ()


@dataclass
class Child:
    """A program with its running process, if it has one. state is for people: starting, running, waiting, stopped."""

    program: Program
    log: Path
    state: str = "stopped"
    restarts: int = 0
    quick_failures: int = 0
    process: subprocess.Popen[bytes] | None = None
    created: float = 0.0
    started_at: float = 0.0
    retry_at: float = 0.0
    log_start: int = 0

    def start(self) -> None:
        program = self.program
        program.prepare()
        argv = leash(program.argv, death_signal=program.death_signal, user=program.user, open_doors=program.open_doors)
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(program.environment),
                cwd=program.working_folder,
                pass_fds=program.descriptors,
                # A Ctrl-C in the terminal reaches the supervisor alone, which stops the others in order.
                process_group=0,
            )
        self.state, self.started_at = "starting", time.monotonic()
        self.created = creation_time(self.process.pid)

    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def check_ready(self) -> None:
        if self.state == "starting" and self.program.ready(self):
            self.state = "running"

    def bury(self) -> str:
        """Clear up after a process that ended, and say how it did."""
        process = self.process
        assert process is not None
        self.kill()
        self.process, self.state = None, "stopped"
        return describe_exit(process.returncode)

    def wait_before_restart(self) -> float:
        """Seconds until it is started again: longer each time it ends soon after its start."""
        settled = time.monotonic() - self.started_at > SETTLED_SECONDS
        self.quick_failures = 1 if settled else self.quick_failures + 1
        seconds = min(LONGEST_WAIT_SECONDS, 0.25 * 2 ** (self.quick_failures - 1))
        self.state, self.retry_at = "waiting", time.monotonic() + seconds
        self.restarts += 1
        return seconds

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(self.program.stop_signal)

    def kill(self) -> None:
        """End what is left of its group: the process itself and whatever it started."""
        if self.process is not None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                return  # nothing of it is left; macOS says so in its own way

    def said(self) -> str:
        """Its output since it was last started."""
        return read_from(self.log, self.log_start)

    def last_line(self) -> str:
        lines = [line.strip() for line in self.said().splitlines() if line.strip()]
        return lines[-1][:300] if lines else "(it said nothing)"


def read_from(path: Path, start: int) -> str:
    try:
        with path.open("rb") as log:
            # A log that was cut short meanwhile is read from its new beginning.
            log.seek(start if start <= path.stat().st_size else 0)
            return log.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def creation_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
