"""The pools of an experiment as querysets of instructions."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from lionweb.models import Approval, Experiment, Instruction, MemberPool, Membership


def _members(experiment: Experiment, where: Q) -> QuerySet[Instruction]:
    member = Membership.objects.filter(
        where, experiment=experiment, approval=Approval.APPROVED, instruction=OuterRef("pk")
    )
    return Instruction.objects.filter(Exists(member))


def train_pool(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    return _members(experiment, Q(pool=MemberPool.TRAIN, since=iteration))


def cache_pool(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    return _members(experiment, Q(pool=MemberPool.CACHE, since__lte=iteration))


def heldout_set(experiment: Experiment) -> QuerySet[Instruction]:
    return _members(experiment, Q(pool=MemberPool.HELDOUT))


def cache_and_heldout(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    where = Q(pool=MemberPool.CACHE, since__lte=iteration) | Q(pool=MemberPool.HELDOUT)
    return _members(experiment, where)


def train_and_heldout(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    return _members(experiment, Q(pool=MemberPool.TRAIN, since=iteration) | Q(pool=MemberPool.HELDOUT))
