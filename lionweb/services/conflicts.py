"""Reviewers disagree, and somebody who is not one of them decides."""

from django.db import transaction

from lionweb.models import OPINIONS, Classification, Decision, DecisionKind, Response, ReviewState, Role, User
from lionweb.services import audit
from lionweb.services.errors import Refused
from lionweb.services.review_locks import hold_item
from lionweb.services.reviews import Stale, checked, own_answer
from lionweb.services.settling import settle_held


def live_opinions(classification: Classification) -> list[Decision]:
    """What the reviewers said and did not take back, oldest first."""
    rows = classification.decisions.filter(undone_at__isnull=True, is_resolution=False, kind__in=OPINIONS)
    return list(rows.select_related("person", "corrected_response").order_by("pk"))


def version_of(opinions: list[Decision]) -> str:
    """Another one as soon as anybody of them changes their mind."""
    return ".".join(str(one.pk) for one in opinions)


def may_resolve(person: User, opinions: list[Decision]) -> bool:
    if person.may(Role.ADMIN):
        return True
    return person.may(Role.RESEARCHER) and all(one.person_id != person.pk for one in opinions)


@transaction.atomic
def resolve(
    *,
    classification: Classification,
    person: User,
    kind: DecisionKind,
    comment: str = "",
    corrected: str = "",
    corrected_from: int | None = None,
    seen: str,
) -> Decision:
    """End a conflict. The reference answer is the resolver's own text, or else that of the decision `corrected_from`.

    Args:
        seen: the `version_of` the opinions that the resolver looked at.

    Raises:
        Stale: the opinions are others by now, or the conflict has ended.
        Refused: closed, deleted, or the resolver is one of those who disagree. Nothing was changed.
    """
    if kind not in OPINIONS:
        raise Refused("A conflict is resolved by a decision.", "Choose one of the kinds.")
    said = checked(comment, corrected, None)
    item = hold_item(classification=classification, person=person)
    opinions = live_opinions(item)
    if item.review_state != ReviewState.CONFLICT or version_of(opinions) != seen:
        raise Stale("This conflict has changed while you looked.", "Your text is kept. Look again, then decide.")
    if not may_resolve(person, opinions):
        raise Refused("You are one of those who disagree.", "Another researcher or an admin resolves this conflict.")
    decision = Decision.objects.create(
        classification=item,
        person=person,
        kind=kind,
        comment=said.comment,
        corrected_response=own_answer(item, person, said.corrected) or _adopted(opinions, corrected_from),
        is_resolution=True,
    )
    settle_held([item])
    audit.record(
        actor=person,
        action="conflict.resolve",
        target=item,
        kind=kind.value,
        opinions={one.person.username: one.kind for one in opinions},
        reason=said.comment,
    )
    return decision


def _adopted(opinions: list[Decision], number: int | None) -> Response | None:
    return next((one.corrected_response for one in opinions if one.pk == number), None)
