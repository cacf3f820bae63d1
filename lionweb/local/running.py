"""Who runs the stack of a data folder: the lock that only one may hold, and the state file it writes."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lionweb.local import home
from lionweb.local.leftovers import same_process
from lionweb.local.problems import CannotStart
from lionweb.local.program import Child, creation_time

# Whoever only looks holds the lock for an instant, so one refusal proves nothing.
TRIES = 4


@contextmanager
def held_lock(folder: Path) -> Iterator[None]:
    """Hold the data folder for this process. The kernel lets go of it however the process ends."""
    with home.lock_file(folder).open("a") as lock:
        if not any(took(lock.fileno()) for _ in range(TRIES)):
            raise CannotStart(describe_holder(folder))
        yield


def took(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        time.sleep(0.05)
        return False
    return True


def is_held(folder: Path) -> bool:
    """Whether a stack of this data folder runs now, started or about to be."""
    try:
        with home.lock_file(folder).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False


def describe_holder(folder: Path) -> str:
    state = read_state(folder)
    where = f" (process {state['pid']}, {state['url']})" if state else ""
    return (
        f"LionWeb already runs with the data folder {folder}{where}. "
        "Stop it with ./lion stop, or set LIONWEB_HOME to another folder."
    )


def read_state(folder: Path) -> dict[str, Any]:
    """What the last `up` of this folder wrote; empty where there was none. It may have ended since."""
    try:
        state = json.loads(home.up_state(folder).read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def state_of(url: str, started: float, children: Sequence[Child]) -> dict[str, Any]:
    processes = {
        child.program.name: {
            "pid": child.process.pid if child.process else None,
            "created": child.created,
            "restarts": child.restarts,
            "quick_failures": child.quick_failures,
            "state": child.state,
            "log": str(child.log),
        }
        for child in children
    }
    pid = os.getpid()
    return {"pid": pid, "created": creation_time(pid), "url": url, "started": started, "processes": processes}


def write_state(folder: Path, url: str, started: float, children: Sequence[Child]) -> None:
    """Replaced in one step: readers see the old state or the new one."""
    path = home.up_state(folder)
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps(state_of(url, started, children)))
    draft.replace(path)


def recorded_processes(state: dict[str, Any]) -> list[tuple[int, float]]:
    return [(one["pid"], one["created"]) for one in state.get("processes", {}).values() if one["pid"]]


def stop_running(folder: Path, *, timeout_seconds: float = 60.0) -> str:
    """Ask the stack of this data folder to stop, wait for it, and say what happened. Raises CannotStart if it stays."""
    if not is_held(folder):
        return f"Nothing runs with the data folder {folder}."
    state = read_state(folder)
    process = same_process(state["pid"], state["created"]) if state else None
    if process is None:
        raise CannotStart(f"LionWeb with the data folder {folder} is only just starting. Try again in a few seconds.")
    process.terminate()
    deadline = time.monotonic() + timeout_seconds
    while is_held(folder):
        if time.monotonic() > deadline:
            raise CannotStart(f"LionWeb (process {process.pid}) did not stop within {timeout_seconds:.0f} s.")
        time.sleep(0.1)
    return f"Stopped LionWeb with the data folder {folder}."
