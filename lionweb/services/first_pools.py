"""The pools that an experiment starts with, and those of every later iteration."""

from django.db import transaction

from distill.first_pools import first_pools as draw
from lionweb.models import Approval, Classification, Experiment, MemberPool, Membership, MemberSource, PoolEntry
from lionweb.services import leaks

BATCH = 5000


def first_pools(*, experiment: Experiment) -> None:
    """Draw Train Pool, Cache Pool and held-out set of iteration 1 from the imported pools, seeded and reproducible.

    Where leaks are blocked, instructions that overlap with an evaluation set are not drawn (`begin` waits for the check). A held-out set that was
    imported as such is taken as it is: nothing is ever trained on it.
    """
    heldout = _entries(experiment.heldout_pool_id) if experiment.heldout_pool_id else None
    settings = experiment.settings
    drawn = draw(
        _entries(experiment.pool_id, unleaked=leaks.blocks(experiment)), heldout, settings.pools, settings.seed
    )
    _add(experiment, MemberPool.HELDOUT, drawn.heldout)
    _add(experiment, MemberPool.TRAIN, drawn.train)
    _add(experiment, MemberPool.CACHE, drawn.cache)


def _entries(pool_id: int, *, unleaked: bool = False) -> list[int]:
    """Deleted instructions are drawn no more."""
    kept = PoolEntry.objects.filter(pool_id=pool_id, instruction__deleted_at__isnull=True).order_by("position")
    kept = kept.exclude(leaks.is_leaked()) if unleaked else kept
    return list(kept.values_list("instruction_id", flat=True))


def _add(experiment: Experiment, pool: MemberPool, ids: list[int]) -> None:
    rows = (Membership(experiment=experiment, since=1, instruction_id=pk, pool=pool) for pk in ids)
    Membership.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)


@transaction.atomic
def append_pool(*, experiment: Experiment, iteration: int) -> None:
    """Copy the last Train Pool into this iteration's, but for what a person took out; mode `append` only."""
    last = Membership.objects.filter(
        experiment=experiment,
        pool=MemberPool.TRAIN,
        since=iteration - 1,
        approval=Approval.APPROVED,
        until__isnull=True,
    )
    rows = (_trained(m, iteration) for m in last.iterator())
    Membership.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)


@transaction.atomic
def add_corrected(*, experiment: Experiment, iteration: int) -> None:
    """What people answered better than the teacher in the last iteration joins this iteration's Train Pool.

    The Train Pool is made of new instructions; without this, an answer corrected in the Cache Pool would teach nobody.
    """
    corrected = Classification.objects.filter(
        iteration__experiment=experiment,
        iteration__number=iteration - 1,
        corrected_response__isnull=False,
        pool=MemberPool.CACHE,
    )
    members = Membership.objects.filter(
        experiment=experiment,
        pool=MemberPool.CACHE,
        approval=Approval.APPROVED,
        until__isnull=True,
        instruction__in=corrected.values("instruction"),
    )
    rows = (_trained(m, iteration) for m in members.iterator())
    Membership.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)


def _trained(member: Membership, iteration: int) -> Membership:
    """The same instruction in the Train Pool of an iteration, with its origin."""
    return Membership(
        experiment_id=member.experiment_id,
        since=iteration,
        instruction_id=member.instruction_id,
        pool=MemberPool.TRAIN,
        source=MemberSource(member.source),
        parent_id=member.parent_id,
    )
