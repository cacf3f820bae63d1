"""The pools that an experiment starts with, and those of every later iteration."""

from django.db import transaction

from distill.first_pools import first_pools as draw
from lionweb.models import Approval, Experiment, MemberPool, Membership, MemberSource, PoolEntry

BATCH = 5000


def first_pools(*, experiment: Experiment) -> None:
    """Draw Train Pool, Cache Pool and held-out set of iteration 1 from the imported pools, seeded and reproducible."""
    heldout = _entries(experiment.heldout_pool_id) if experiment.heldout_pool_id else None
    settings = experiment.settings
    drawn = draw(_entries(experiment.pool_id), heldout, settings.pools, settings.seed)
    _add(experiment, MemberPool.HELDOUT, drawn.heldout)
    _add(experiment, MemberPool.TRAIN, drawn.train)
    _add(experiment, MemberPool.CACHE, drawn.cache)


def _entries(pool_id: int) -> list[int]:
    """Deleted instructions are drawn no more."""
    kept = PoolEntry.objects.filter(pool_id=pool_id, instruction__deleted_at__isnull=True)
    return list(kept.order_by("position").values_list("instruction_id", flat=True))


def _add(experiment: Experiment, pool: MemberPool, ids: list[int]) -> None:
    rows = (Membership(experiment=experiment, since=1, instruction_id=pk, pool=pool) for pk in ids)
    Membership.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)


@transaction.atomic
def append_pool(*, experiment: Experiment, iteration: int) -> None:
    """Copy the last Train Pool into this iteration's; mode `append` only."""
    last = Membership.objects.filter(
        experiment=experiment, pool=MemberPool.TRAIN, since=iteration - 1, approval=Approval.APPROVED
    )
    rows = (
        Membership(
            experiment=experiment,
            since=iteration,
            instruction_id=m.instruction_id,
            pool=MemberPool.TRAIN,
            source=MemberSource(m.source),
            parent_id=m.parent_id,
        )
        for m in last.iterator()
    )
    Membership.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
