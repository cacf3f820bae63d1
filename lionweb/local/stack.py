"""The whole stack on one machine: bring it up and watch over it, or run it beside a test or a demonstration."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lionweb.local import folders, home, leftovers, listener, programs, running
from lionweb.local.leash import leash
from lionweb.local.postgres import postgres_for
from lionweb.local.problems import CannotStart
from lionweb.local.program import Child, Program
from lionweb.local.supervisor import StopAsked, Supervisor

HOPELESS_FAILURES = 5


@dataclass(frozen=True)
class Plan:
    """What to start. A part whose environment variable is set runs elsewhere and is left out."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8000
    teacher: str = "bundled"
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    durable: bool = True

    def elsewhere(self, variable: str) -> bool:
        return bool(self.environment.get(variable, "").strip())

    def services(self) -> list[Program]:
        found = []
        if not self.elsewhere("DATABASE_URL"):
            found.append(programs.postgres_program(postgres_for(self.folder, durable=self.durable)))
        if not self.elsewhere("BROKER_URL"):
            found.append(programs.valkey_program(self.folder))
        return found

    def has_teacher(self) -> bool:
        return self.teacher == "bundled" and not self.elsewhere("TEACHER_BASE_URL")


def up(plan: Plan, say: Callable[[str], None]) -> None:
    """Run the stack until a signal ends it. Raises CannotStart, with nothing left running."""
    folders.prepare(plan.folder)
    with running.held_lock(plan.folder), closing(listener.listen(plan.host, plan.port)) as listening:
        ended = leftovers.end_recorded(running.recorded_processes(running.read_state(plan.folder)))
        if ended:
            say(f"Ended {len(ended)} processes that an earlier start had left behind.")
        supervisor = Supervisor(plan.folder, say, state_writer(plan.folder, listener.url_of(listening), say))
        supervisor.listen_to_signals()
        try:
            bring_up(plan, supervisor, listening, say)
            supervisor.watch()
        except StopAsked:
            pass
        finally:
            say("Stopping.")
            supervisor.stop()
            folders.drop_short(plan.folder)


def state_writer(folder: Path, url: str, say: Callable[[str], None]) -> Callable[[Sequence[Child]], None]:
    started = time.time()

    def write(children: Sequence[Child]) -> None:
        try:
            running.write_state(folder, url, started, children)
        except OSError as error:
            # A full disk must not take the supervisor with it.
            say(f"The state file in {home.run_folder(folder)} cannot be written: {error.strerror}.")

    return write


def bring_up(plan: Plan, supervisor: Supervisor, listening: socket.socket, say: Callable[[str], None]) -> None:
    began = time.monotonic()
    say("Starting the database and the queue.")
    supervisor.start(plan.services())
    environment = child_environment(plan)
    supervisor.run_once(programs.prepare_program(environment))
    say("Starting workers and the web server.")
    if plan.has_teacher():
        supervisor.start([programs.teacher_program(plan.folder, teacher_port(plan.folder))], wait=False)
    workers = [programs.worker_program(worker, environment) for worker in programs.WORKERS]
    supervisor.start([*workers, programs.beat_program(plan.folder, environment)], wait=False)
    supervisor.start([programs.web_program(listening, environment)])
    say(f"LionWeb is at {listener.url_of(listening)} (ready in {time.monotonic() - began:.0f} s; Ctrl-C stops it).")


def child_environment(plan: Plan) -> dict[str, str]:
    return {**plan.environment, "LIONWEB_HOME": str(plan.folder), "DJANGO_SETTINGS_MODULE": "lionweb.settings"}


def teacher_port(folder: Path) -> int:
    """The port of last time where it is free, so that clients that remember it find the server after a restart."""
    remembered = home.run_folder(folder) / "teacher-port"
    written = remembered.read_text().strip() if remembered.exists() else ""
    port = listener.free_port(int(written) if written.isdecimal() else 0)
    remembered.write_text(str(port))
    return port


@dataclass
class Stack:
    """A stack that runs in a process of its own."""

    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def state(self) -> dict[str, Any]:
        """What it says of itself; empty until this very stack has written something."""
        state = running.read_state(self.folder)
        return state if state.get("pid") == self.process.pid else {}

    @property
    def url(self) -> str:
        return str(self.state["url"])

    def names(self) -> list[str]:
        return list(self.state.get("processes", {}))

    def pid_of(self, name: str) -> int:
        return int(self.state["processes"][name]["pid"])

    def output(self) -> str:
        return (home.log_folder(self.folder) / "up.log").read_text(errors="replace")

    def wait_ready(self, *, timeout_seconds: float = 180.0) -> None:
        """Wait until every process runs and the page answers. Raises CannotStart if the stack ends instead."""
        deadline = time.monotonic() + timeout_seconds
        while not self.is_ready():
            if self.process.poll() is not None or self.is_hopeless() or time.monotonic() > deadline:
                raise CannotStart(f"The stack is not ready:\n{self.output()[-3000:]}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        processes = self.state.get("processes", {})
        running_all = "web" in processes and all(one["state"] == "running" for one in processes.values())
        return running_all and listener.answers(self.url)

    def is_hopeless(self) -> bool:
        """Whether something ends again and again before it has settled."""
        return any(one["quick_failures"] > HOPELESS_FAILURES for one in self.state.get("processes", {}).values())

    def stop(self, *, timeout_seconds: float = 60.0) -> int:
        """Stop it as one Ctrl-C does; returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextmanager
def running_stack(
    folder: Path, *, port: int = 0, teacher: str = "bundled", env: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """A stack with this data folder, ready to use; it ends with the block. Raises CannotStart."""
    stack = launch(folder, port=port, teacher=teacher, env=env)
    try:
        stack.wait_ready()
        yield stack
    finally:
        stack.stop()


def launch(folder: Path, *, port: int = 0, teacher: str = "bundled", env: Mapping[str, str] | None = None) -> Stack:
    """Start a stack without waiting for it. It does not outlive the calling thread."""
    folders.prepare(folder)
    argv = [sys.executable, programs.MANAGE, "up", "--port", str(port), "--teacher", teacher]
    environment = {**os.environ, **(env or {}), "LIONWEB_HOME": str(folder)}
    with (home.log_folder(folder) / "up.log").open("wb") as log:
        process = subprocess.Popen(
            leash(argv, death_signal=signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=home.REPOSITORY,
            process_group=0,
        )
    return Stack(folder, process)
