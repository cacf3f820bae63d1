"""The pools that an experiment starts with, drawn from the imported ones."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from distill.settings import PoolSettings

T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class FirstPools(Generic[T]):
    train: list[T]
    cache: list[T]
    heldout: list[T]


def first_pools(pool: Sequence[T], heldout: Sequence[T] | None, sizes: PoolSettings, seed: int) -> FirstPools[T]:
    """Draw Train Pool, Cache Pool and held-out set; the order of `pool` and the seed decide.

    As in the paper both pools start from the same instructions. The held-out set never meets either of them: it comes
    from `heldout` where there is one, else it is set aside from the pool first.
    """
    order = list(pool)
    random.Random(seed).shuffle(order)
    if heldout is None:
        kept_out, order = order[: sizes.heldout], order[sizes.heldout :]
    else:
        kept_out = list(heldout)[: sizes.heldout or None]
        apart = set(kept_out)
        order = [one for one in order if one not in apart]
    return FirstPools(order[: sizes.train or None], order[: sizes.cache or None], kept_out)
