"""Nobody is led by what others said: who may read which decisions on an item that is still open."""

from collections.abc import Collection, Iterable, Sequence

from lionweb.models import (
    OPEN_STATES,
    OPINIONS,
    Classification,
    Decision,
    DecisionKind,
    Iteration,
    Role,
    Stage,
    StageKind,
    StageStatus,
    User,
)


def veiled(iterations: Iterable[Iteration], reader: User) -> set[int]:
    """Those whose verdicts and settled decisions the reader may not know yet: blind, and their gate is not closed.

    From a researcher nothing is kept.
    """
    if reader.may(Role.RESEARCHER):
        return set()
    blind = {one.pk for one in iterations if one.experiment.settings.gates.blind_review}
    closed = Stage.objects.filter(iteration__in=blind, kind=StageKind.REVIEW, status=StageStatus.SUCCEEDED)
    return blind - set(closed.values_list("iteration", flat=True))


def readable(
    decisions: Sequence[Decision], item: Classification, reader: User, hidden: Collection[int] = ()
) -> list[Decision]:
    """All of the item's decisions once it is settled or the reader has given an opinion on it.

    Before that, and in the `hidden` iterations, only what the reader said, and flags: they ask others to look.
    """
    if item.iteration_id not in hidden and _is_open_to(reader, decisions, item):
        return list(decisions)
    return [one for one in decisions if one.person_id == reader.pk or one.kind == DecisionKind.FLAG]


def _is_open_to(reader: User, decisions: Sequence[Decision], item: Classification) -> bool:
    return item.review_state not in OPEN_STATES or any(_is_opinion_of(reader, one) for one in decisions)


def _is_opinion_of(reader: User, one: Decision) -> bool:
    return one.person_id == reader.pk and one.kind in OPINIONS and not one.undone_at and not one.is_resolution
