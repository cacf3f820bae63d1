"""Nobody is led by what others said: who may read which decisions on an item that is still open."""

from collections.abc import Sequence

from lionweb.models import OPEN_STATES, OPINIONS, Classification, Decision, DecisionKind, User


def readable(decisions: Sequence[Decision], item: Classification, reader: User) -> list[Decision]:
    """All of the item's decisions once it is settled or the reader has given an opinion on it.

    Before that only what the reader said, and flags: they ask others to look.
    """
    if item.review_state not in OPEN_STATES or any(_is_opinion_of(reader, one) for one in decisions):
        return list(decisions)
    return [one for one in decisions if one.person_id == reader.pk or one.kind == DecisionKind.FLAG]


def _is_opinion_of(reader: User, one: Decision) -> bool:
    return one.person_id == reader.pk and one.kind in OPINIONS and not one.undone_at and not one.is_resolution
