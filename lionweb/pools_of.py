"""The pools of an experiment as querysets of instructions."""

from django.db.models import Exists, OuterRef, Q, QuerySet

from lionweb.models import Approval, Experiment, Instruction, MemberPool, Membership


def _members(experiment: Experiment, where: Q) -> QuerySet[Instruction]:
    member = Membership.objects.filter(
        where, experiment=experiment, approval=Approval.APPROVED, instruction=OuterRef("pk")
    )
    return Instruction.objects.filter(Exists(member))


def still_in(iteration: int) -> Q:
    """A person may have taken it out after an iteration."""
    return Q(until__isnull=True) | Q(until__gte=iteration)


def _train(iteration: int) -> Q:
    return Q(still_in(iteration), pool=MemberPool.TRAIN, since=iteration)


def _cache(iteration: int) -> Q:
    return Q(still_in(iteration), pool=MemberPool.CACHE, since__lte=iteration)


def train_pool(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    return _members(experiment, _train(iteration))


def cache_pool(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    return _members(experiment, _cache(iteration))


def heldout_set(experiment: Experiment) -> QuerySet[Instruction]:
    return _members(experiment, Q(pool=MemberPool.HELDOUT))


def cache_and_heldout(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    return _members(experiment, _cache(iteration) | Q(pool=MemberPool.HELDOUT))


def train_and_heldout(experiment: Experiment, iteration: int) -> QuerySet[Instruction]:
    return _members(experiment, _train(iteration) | Q(pool=MemberPool.HELDOUT))
