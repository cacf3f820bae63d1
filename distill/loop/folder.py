"""The folder of a run: its files, its lock, and the settings it was begun with."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from distill.errors import DistillError
from distill.loop.journal import Journal

CONDITIONS = "run.json"
_JOURNALS = ("responses", "reviews", "replies", "candidates", "verdicts", "calls", "stages", "training")


class FolderUnusable(DistillError):
    code = "bad_folder"


class RunFolder:
    """One run at a time may hold it; the lock goes with the process, however that ends."""

    responses: Journal  # of teacher and students
    reviews: Journal  # of the referee
    replies: Journal  # of the generator, as they came
    candidates: Journal  # what became of them
    verdicts: Journal
    calls: Journal  # every HTTP request, with its tokens and its price
    stages: Journal  # how long a stage took, and whether it was finished
    training: Journal  # losses

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(path)
            for name in _JOURNALS:
                setattr(self, name, Journal(path / f"{name}.jsonl"))
        except OSError as error:
            raise FolderUnusable(
                f"The folder {path} cannot be used: {error.strerror or error}.", "Name a folder that can be written."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for name in _JOURNALS:
            getattr(self, name).close()
        self._lock.close()

    def conditions(self, now: dict[str, Any]) -> dict[str, Any]:
        """Under which the run goes on: `now` for a new one, else those it was begun with.

        now: "given" is what a person asked for, "settings" what follows from it. Where the same is asked for again,
        the old settings hold, so that a preset that changed in between does not change a begun run.
        Raises FolderUnusable if this folder holds a run of something else.
        """
        before = self.read(CONDITIONS)
        if before is None:
            return now
        same = ("given", "settings") if before.get("given") == now["given"] else ("given",)
        names = [name for name in now if name not in same]
        differing = _differences({name: before.get(name) for name in names}, {name: now[name] for name in names})
        if differing:
            raise FolderUnusable(
                f"{self.path} holds a run with other settings: {'; '.join(sorted(differing))}.",
                "Name another folder. Copy responses.jsonl there first to keep what was paid for.",
            )
        return dict(before)

    def read(self, name: str) -> Any | None:
        path = self.path / name
        try:
            return json.loads(path.read_bytes()) if path.exists() else None
        except ValueError as error:
            raise FolderUnusable(f"{path} cannot be read: {error}.", "Name another folder.") from error

    def write(self, name: str, value: Any) -> None:
        """Whole or not at all."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(path)


def _locked(path: Path) -> IO[str]:
    lock = (path / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise FolderUnusable(f"Another run is at work in {path}.", "Wait for it to end, or stop it.") from None
    return lock


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        keys = before.keys() | now.keys()
        parts = (_differences(before.get(k), now.get(k), f"{name}.{k}".removeprefix(".")) for k in keys)
        return [difference for part in parts for difference in part]
    return [] if before == now else [f"{name} is {before!r} there and {now!r} here"]
