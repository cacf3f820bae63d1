"""What a new instruction stands beside: Cache Pool, held-out set and the other new ones, and the nearest among them."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from django.db.models import Q

from distill.novelty import NoveltyIndex
from distill.records import Instruction as Text
from lionweb.models import Approval, Instruction, Iteration, MemberPool, Membership
from lionweb.pools_of import still_in

SHOWN = 3
NEW = "new"


@dataclass(frozen=True)
class Neighbour:
    id: int
    pool: str  # cache, heldout or new
    score: float

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class Neighbourhood:
    """The pools of an iteration, indexed once; new instructions that came later join at each look.

    Instructions that are deleted or taken out of the pools are no neighbours.
    """

    def __init__(self, iteration: Iteration) -> None:
        here = Membership.objects.filter(still_in(iteration.number), instruction__deleted_at__isnull=True)
        self._new = here.filter(
            experiment=iteration.experiment_id,
            since=iteration.number + 1,
            pool=MemberPool.CACHE,
            candidate__iteration=iteration.pk,
        ).exclude(approval=Approval.REJECTED)
        self._ids: list[int] = []
        self._pools: dict[int, str] = {}
        self._index = NoveltyIndex(1.0)
        self._lock = threading.Lock()
        where = Q(pool=MemberPool.CACHE, since__lte=iteration.number) | Q(pool=MemberPool.HELDOUT)
        known = here.filter(where, experiment=iteration.experiment_id, approval=Approval.APPROVED)
        rows = known.order_by("pk").values_list("instruction", "pool", "instruction__text", "instruction__input")
        for pk, pool, text, given in rows.iterator(chunk_size=5000):
            self._add(pk, pool, Text(text, given).prompt)

    def nearest(self, texts: Sequence[tuple[int | None, str]]) -> list[list[Neighbour]]:
        """For each (own primary key or None, prompt) the SHOWN nearest others, the best first."""
        with self._lock:
            standing = self._take_in_new()
            found = self._index.closest([text for _, text in texts], SHOWN + 8)
            gone = self._deleted({at for scored in found for at, _ in scored})
        return [self._shown({own} | gone, scored, standing) for (own, _), scored in zip(texts, found, strict=True)]

    def _deleted(self, places: set[int]) -> set[int | None]:
        """Those deleted since they were indexed."""
        rows = Instruction.objects.filter(pk__in=[self._ids[at] for at in places], deleted_at__isnull=False)
        return set(rows.values_list("pk", flat=True))

    def _shown(
        self, without: set[int | None], scored: Sequence[tuple[int, float]], standing: set[int]
    ) -> list[Neighbour]:
        others = [(self._ids[at], score) for at, score in scored if self._ids[at] not in without]
        kept = [(pk, score) for pk, score in others if self._pools[pk] != NEW or pk in standing]
        return [Neighbour(pk, self._pools[pk], round(score, 4)) for pk, score in kept[:SHOWN]]

    def _take_in_new(self) -> set[int]:
        standing = set(self._new.values_list("instruction", flat=True))
        missing = standing - self._pools.keys()
        rows = self._new.filter(instruction__in=missing) if missing else self._new.none()
        for pk, text, given in rows.order_by("pk").values_list(
            "instruction", "instruction__text", "instruction__input"
        ):
            self._add(pk, NEW, Text(text, given).prompt)
        return standing

    def _add(self, pk: int, pool: str, prompt: str) -> None:
        if pk not in self._pools:
            self._ids.append(pk)
            self._pools[pk] = pool
            self._index.add(prompt)


def neighbourhood(iteration: Iteration) -> Neighbourhood:
    """Kept by each process for the two iterations last asked for: the pools of a generated iteration stand still."""
    return _kept(iteration.pk)


@lru_cache(maxsize=2)
def _kept(iteration_id: int) -> Neighbourhood:
    return Neighbourhood(Iteration.objects.get(pk=iteration_id))
