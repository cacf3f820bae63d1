"""The students of a run. Number 0 is the base before any training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from distill.loop.folder import RunFolder


@dataclass(frozen=True)
class Checkpoint:
    """`author` is the name under which its responses are kept: it follows from the weights."""

    number: int
    author: str
    path: Path | None = None  # None for the base
    sha256: str = ""

    def __str__(self) -> str:
        return f"checkpoint {self.number}" if self.number else "the base"


class Checkpoints:
    def __init__(self, folder: RunFolder, base: str) -> None:
        self._folder, self._base = folder, base

    def path(self, number: int) -> Path:
        return (self._folder.path / "checkpoints" / f"checkpoint-{number}").resolve()

    def find(self, number: int) -> Checkpoint | None:
        """None: it is not trained yet."""
        if number == 0:
            return Checkpoint(0, f"base:{self._base}")
        record = self._folder.read(_record(number))
        if record is None:
            return None
        return Checkpoint(number, f"checkpoint:{record['sha256']}", self.path(number), record["sha256"])

    def get(self, number: int) -> Checkpoint:
        found = self.find(number)
        if found is None:
            raise LookupError(f"checkpoint {number} is not trained yet")
        return found

    def keep(self, number: int, sha256: str) -> None:
        self._folder.write(_record(number), {"number": number, "base": self._base, "sha256": sha256})


def _record(number: int) -> str:
    return f"checkpoints/checkpoint-{number}.json"
