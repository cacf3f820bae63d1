"""The first pools of an experiment before it is made: how many, how many are answered already, and a sample of them."""

import random
from dataclasses import dataclass
from datetime import datetime

from distill.first_pools import first_pools
from distill.settings import ExperimentSettings
from distill.teacher import answer_fingerprint
from lionweb.models import Endpoint, Instruction, Pool, PoolEntry, Response
from lionweb.plan import PoolCounts
from lionweb.services import leaks

SAMPLE = 60


@dataclass(frozen=True)
class PlannedPool:
    counts: PoolCounts
    sample: tuple[Instruction, ...]


def planned_pool(
    settings: ExperimentSettings, pool: Pool, heldout_pool: Pool | None, endpoint: Endpoint, as_of: datetime | None
) -> PlannedPool | None:
    """Drawn as the launch will draw it. None where the pool is too small for the sizes asked for.

    as_of: answers that came later do not count as there already.
    """
    sizes = settings.pools
    ids = _entries(pool, unleaked=settings.generator.leak_policy == "block")
    left = len(ids) - (0 if heldout_pool else sizes.heldout)
    if left < 1 or sizes.train > left or sizes.cache > left:
        return None
    drawn = first_pools(ids, _entries(heldout_pool) if heldout_pool else None, sizes, settings.seed)
    answer, heldout = {*drawn.train, *drawn.heldout}, set(drawn.heldout)
    compare = set(drawn.cache) - answer
    answered = _answered(settings, endpoint, as_of)
    counts = PoolCounts(
        train=len(drawn.train),
        cache=len(drawn.cache),
        heldout=len(heldout),
        to_answer=len(answer),
        to_compare=len(compare),
        answered=len(answer & answered),
        answered_cache=len(compare & answered),
    )
    everything = sorted(answer | compare)
    chosen = random.Random(settings.seed).sample(everything, min(SAMPLE, len(everything)))
    return PlannedPool(counts, tuple(Instruction.objects.filter(pk__in=chosen)))


def _entries(pool: Pool, *, unleaked: bool = False) -> list[int]:
    kept = PoolEntry.objects.filter(pool=pool, instruction__deleted_at__isnull=True).order_by("position")
    kept = kept.exclude(leaks.is_leaked()) if unleaked else kept
    return list(kept.values_list("instruction_id", flat=True))


def _answered(settings: ExperimentSettings, endpoint: Endpoint, as_of: datetime | None) -> set[int]:
    """Compared here: the database takes ten times as long to look up each instruction of a large pool."""
    found = Response.objects.filter(author=endpoint.author, sampling_hash=answer_fingerprint(settings.teacher))
    found = found.filter(created_at__lt=as_of) if as_of else found
    return set(found.values_list("instruction_id", flat=True))
