"""The pools that an experiment starts with, and those of every later iteration."""

import random

from django.db import transaction

from lionweb.models import Approval, Experiment, MemberPool, Membership, MemberSource, PoolEntry

BATCH = 5000


def first_pools(*, experiment: Experiment) -> None:
    """Draw Train Pool, Cache Pool and held-out set of iteration 1 from the imported pools, seeded and reproducible.

    As in the paper both pools start from the same instructions. The held-out set never meets either of them.
    """
    sizes = experiment.settings.pools
    order = _entries(experiment.pool_id)
    random.Random(experiment.settings.seed).shuffle(order)
    if experiment.heldout_pool_id:
        heldout = _entries(experiment.heldout_pool_id)[: sizes.heldout or None]
        kept_out = set(heldout)
        order = [pk for pk in order if pk not in kept_out]
    else:
        heldout, order = order[: sizes.heldout], order[sizes.heldout :]
    _add(experiment, MemberPool.HELDOUT, heldout)
    _add(experiment, MemberPool.TRAIN, order[: sizes.train or None])
    _add(experiment, MemberPool.CACHE, order[: sizes.cache or None])


def _entries(pool_id: int) -> list[int]:
    return list(PoolEntry.objects.filter(pool_id=pool_id).order_by("position").values_list("instruction_id", flat=True))


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
