"""The pools of each iteration, from those of the first and the candidates that were kept since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from distill.errors import PoolError
from distill.first_pools import FirstPools, first_pools
from distill.loop.journal import Journal
from distill.records import Instruction
from distill.settings import ExperimentSettings


def draw(
    pool: list[Instruction], heldout: list[Instruction] | None, settings: ExperimentSettings
) -> FirstPools[Instruction]:
    """Raises PoolError if nothing is left to train on."""
    known = {one.content_hash: one for one in [*(heldout or []), *pool]}
    apart = None if heldout is None else [one.content_hash for one in heldout]
    drawn = first_pools([one.content_hash for one in pool], apart, settings.pools, settings.seed)
    if not drawn.train:
        raise PoolError(
            "The held-out set leaves no instruction to train on.",
            "Give a larger pool, or a smaller held-out set (pools.heldout).",
        )
    train, cache, kept_out = ([known[h] for h in part] for part in (drawn.train, drawn.cache, drawn.heldout))
    return FirstPools(train, cache, kept_out)


class Pools:
    """Iterations count from 1. Every list is free of repeats, in the order in which its instructions came."""

    def __init__(self, first: FirstPools[Instruction], mode: str, candidates: Journal) -> None:
        self._first, self._mode, self._candidates = first, mode, candidates

    @property
    def heldout(self) -> list[Instruction]:
        return self._first.heldout

    def train(self, iteration: int) -> list[Instruction]:
        if iteration == 1:
            return self._first.train
        new = self.accepted(iteration - 1)
        return distinct([*self.train(iteration - 1), *new]) if self._mode == "append" else distinct(new)

    def cache(self, iteration: int) -> list[Instruction]:
        new = [one for number in range(1, iteration) for one in self.accepted(number)]
        return distinct([*self._first.cache, *new])

    def train_and_heldout(self, iteration: int) -> list[Instruction]:
        return distinct([*self.train(iteration), *self.heldout])

    def cache_and_heldout(self, iteration: int) -> list[Instruction]:
        return distinct([*self.cache(iteration), *self.heldout])

    def accepted(self, iteration: int) -> list[Instruction]:
        rows = (row for row in self._candidates.rows if row["iteration"] == iteration)
        return [Instruction(**row["instruction"]) for row in rows if not row["rejected"]]


def distinct(instructions: Iterable[Instruction]) -> list[Instruction]:
    """The first of each content hash."""
    found: dict[str, Instruction] = {}
    for one in instructions:
        found.setdefault(one.content_hash, one)
    return list(found.values())


def as_row(instruction: Instruction | None) -> dict[str, Any] | None:
    if instruction is None:
        return None
    return {
        "text": instruction.text,
        "input": instruction.input,
        "language": instruction.language,
        "category": instruction.category,
    }
