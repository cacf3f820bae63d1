"""What a crash or a power cut left behind. Only processes that are provably ours are ended."""

from collections.abc import Iterable
from pathlib import Path

import psutil

CLOCK_SLACK_SECONDS = 1.0
GRACE_SECONDS = 5.0


def same_process(pid: int, created: float) -> psutil.Process | None:
    """The running process that had this number at that time; numbers are used again, so the number alone says nothing."""
    try:
        process = psutil.Process(pid)
        running = process.status() != psutil.STATUS_ZOMBIE
        return process if running and abs(process.create_time() - created) < CLOCK_SLACK_SECONDS else None
    except psutil.Error:
        return None


def end(processes: Iterable[psutil.Process]) -> None:
    """Ask politely, then insist."""
    asked = list(processes)
    for process in asked:
        send(process, "terminate")
    _, stubborn = psutil.wait_procs(asked, timeout=GRACE_SECONDS)
    for process in stubborn:
        send(process, "kill")
    psutil.wait_procs(stubborn, timeout=GRACE_SECONDS)


def send(process: psutil.Process, method: str) -> None:
    try:
        getattr(process, method)()
    except psutil.NoSuchProcess:
        return


def end_recorded(recorded: Iterable[tuple[int, float]]) -> list[int]:
    """End the processes of an earlier `up` that survived it, with their children. Returns the numbers ended."""
    found = [process for pid, created in recorded if (process := same_process(pid, created))]
    families = {member for process in found for member in [process, *children(process)]}
    end(families)
    return sorted(process.pid for process in families)


def children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def end_postgres_of(data: Path) -> None:
    """End servers that still work in this data folder, then drop the lock file that names a process of the past.

    PostgreSQL's own check believes any process with the recorded number, which after a power cut may be anything.
    Every process of a server has its data folder as working directory: where none does, the lock is stale.
    """
    end(process for process in psutil.process_iter(["name"]) if works_in(process, data))
    (data / "postmaster.pid").unlink(missing_ok=True)


def works_in(process: psutil.Process, data: Path) -> bool:
    try:
        return "postgres" in process.info["name"] and Path(process.cwd()) == data.resolve()
    except psutil.Error:
        return False
