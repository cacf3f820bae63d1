"""Keeps programs running in the foreground: starts them in order, restarts what dies, stops them in reverse order."""

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from lionweb.local import logs
from lionweb.local.problems import CannotStart
from lionweb.local.program import Child, Program

PAUSE_SECONDS = 0.1
LOG_CHECK_SECONDS = 5.0
START_SECONDS = 180.0
FAILURES_AT_START = 3


class StopAsked(Exception):
    """Someone asked us to end while we were waiting for something."""


class Supervisor:
    """Owns its children; use it from the main thread, because a leash is held by the thread that started the child."""

    def __init__(self, folder: Path, say: Callable[[str], None], changed: Callable[[Sequence[Child]], None]) -> None:
        self.folder = folder
        self.say = say
        self.changed = changed
        self.tiers: list[list[Child]] = []
        self.stops_asked = 0
        self.next_log_check = 0.0

    @property
    def children(self) -> list[Child]:
        return [child for tier in self.tiers for child in tier]

    def listen_to_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.on_signal)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stops_asked += 1

    def start(self, programs: Sequence[Program], *, wait: bool = True) -> None:
        """Start programs together. Raises CannotStart when one keeps ending or is not ready in time."""
        tier = [Child(program, logs.log_of(self.folder, program.name)) for program in programs]
        self.tiers.append(tier)
        for child in tier:
            child.start()
        self.changed(self.children)
        if wait:
            self.wait_ready(tier)

    def wait_ready(self, tier: Sequence[Child]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while any(child.state != "running" for child in tier):
            self.tend()
            for child in tier:
                if child.quick_failures >= FAILURES_AT_START:
                    raise CannotStart(f"{child.program.name} does not start: {child.last_line()} Its log: {child.log}")
            if time.monotonic() > deadline:
                slow = ", ".join(str(child.log) for child in tier if child.state != "running")
                raise CannotStart(f"Not everything was ready within {START_SECONDS:.0f} s. Look into {slow}")
            self.pause()

    def run_once(self, program: Program) -> None:
        """Run a program to its end while the others are tended. Raises CannotStart when it fails."""
        child = Child(program, logs.log_of(self.folder, program.name))
        child.start()
        try:
            while not child.ended():
                self.tend()
                self.pause()
        finally:
            exit_text = child.bury()
        if exit_text != "ended with exit code 0":
            raise CannotStart(f"{program.name} {exit_text}: {child.last_line()} Its log: {child.log}")

    def watch(self) -> None:
        """Tend the children until a signal asks us to stop."""
        while not self.stops_asked:
            self.tend()
            time.sleep(PAUSE_SECONDS)

    def pause(self) -> None:
        if self.stops_asked:
            raise StopAsked
        time.sleep(PAUSE_SECONDS)

    def tend(self) -> None:
        """One look at every child: note who is ready, who ended, and whose time to start again has come."""
        before = [(child.state, child.restarts) for child in self.children]
        for child in self.children:
            if child.ended():
                self.report_end(child)
            elif child.state == "waiting" and time.monotonic() >= child.retry_at:
                self.start_again(child)
            child.check_ready()
        if before != [(child.state, child.restarts) for child in self.children]:
            self.changed(self.children)
        self.bound_logs()

    def report_end(self, child: Child) -> None:
        exit_text, last = child.bury(), child.last_line()
        seconds = child.wait_before_restart()
        self.say(f"{child.program.name} {exit_text}. It starts again in {seconds:g} s. Its last line: {last}")

    def start_again(self, child: Child) -> None:
        try:
            child.start()
        except (CannotStart, OSError) as problem:
            seconds = child.wait_before_restart()
            self.say(f"{child.program.name} does not start, next try in {seconds:g} s: {problem}")

    def bound_logs(self) -> None:
        if time.monotonic() >= self.next_log_check:
            self.next_log_check = time.monotonic() + LOG_CHECK_SECONDS
            for child in self.children:
                logs.bound(child.log)

    def stop(self) -> None:
        """Stop everything in reverse order. Another signal meanwhile ends the patience with all of it."""
        patience = self.stops_asked
        for tier in reversed(self.tiers):
            for child in tier:
                child.ask_to_stop()
            self.wait_for_end(tier, patience)
            for child in tier:
                if child.process is not None:
                    child.kill()
                    child.process.wait()
                    child.bury()
        self.changed(self.children)

    def wait_for_end(self, tier: Sequence[Child], patience: int) -> None:
        asked_at = time.monotonic()
        while self.stops_asked <= patience:
            running = [child for child in tier if child.process is not None and not child.ended()]
            if all(time.monotonic() - asked_at > child.program.grace_seconds for child in running):
                return
            time.sleep(PAUSE_SECONDS / 2)
