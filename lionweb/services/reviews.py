"""A person's decision on an item of the review queue, and taking it back."""

import hashlib
import math
from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from distill.records import Finish
from lionweb.models import (
    OPEN_STATES,
    OPINIONS,
    AuthorKind,
    Classification,
    Decision,
    DecisionKind,
    Iteration,
    Response,
    ReviewLock,
    User,
)
from lionweb.services import audit
from lionweb.services.errors import Refused
from lionweb.services.review_locks import check_room, hold_item, hold_person
from lionweb.services.settling import settle_held
from lionweb.storable import storable

LONGEST_COMMENT = 5_000
LONGEST_ANSWER = 200_000
LONGEST_LOOK_SECONDS = 86_400


class Stale(Refused):
    """The item is no longer what the person saw when they decided."""

    code = "stale"


@dataclass(frozen=True)
class Said:
    """What a person typed, ready to be stored."""

    comment: str
    corrected: str
    seconds: float | None


def version(classification: Classification, own: Decision | None) -> str:
    """Changes when the item becomes another for the person whose live decision is `own`.

    Opinions of others on an open item do not count: people who look at it at the same time decide for themselves.
    """
    state = "open" if classification.review_state in OPEN_STATES else classification.review_state
    settled = f"{classification.person_kind}.{classification.person_id or ''}.{classification.person_at or ''}"
    return hashlib.sha256(f"{own.pk if own else 0}/{state}/{settled}".encode()).hexdigest()[:16]


def own_decision(classification: Classification, person: User) -> Decision | None:
    """The person's live opinion, flag or skip."""
    return classification.decisions.filter(person=person, is_resolution=False, undone_at__isnull=True).first()


@transaction.atomic
def decide(
    *,
    classification: Classification,
    person: User,
    kind: DecisionKind | str,
    comment: str = "",
    corrected: str = "",
    seconds: float | None = None,
    seen: str | None = None,
) -> Decision:
    """Store a decision; one that the person made before is replaced by it. `corrected` is their own reference answer.

    Args:
        seen: the `version` that the person looked at; None does not ask.

    Raises:
        Stale: the item has changed since.
        Refused: closed, deleted, not in the queue, open at another person's, or a text that is too long. Nothing was changed.
    """
    kind = DecisionKind(kind)
    said = checked(comment, corrected, seconds)
    item = hold_item(classification=classification, person=person)
    if not item.for_review:
        raise Refused("This item is not in the queue.", "Go on to the next one.")
    before = own_decision(item, person)
    if seen is not None and seen != version(item, before):
        raise _stale(item, before)
    check_room(item, person)
    if kind == DecisionKind.SKIP and before and before.kind in OPINIONS:
        raise Refused("You have decided on this item already.", "Take that back first, or go on to the next one.")
    decision = _replace(item, person, kind, said, before)
    ReviewLock.objects.filter(classification=item, person=person).delete()
    _settle_and_tell(item, person, decision, before, "verdict.decide")
    return decision


@transaction.atomic
def undo(*, person: User, iteration: Iteration | None = None, decision: Decision | None = None) -> Classification:
    """Take back a decision of one's own: the given one, or the last in the iteration. Returns its item.

    Raises:
        Refused: there is none, it is somebody else's, or the iteration has moved on.
    """
    hold_person(person)
    live = Decision.objects.filter(person=person, undone_at__isnull=True)
    if decision is not None:
        live = live.filter(pk=decision.pk)
    if iteration is not None:
        live = live.filter(classification__iteration=iteration)
    found = live.select_related("classification").order_by("-pk").first()
    if found is None:
        raise Refused("There is no decision of yours to take back here.")
    item = hold_item(classification=found.classification, person=person)
    Decision.objects.filter(pk=found.pk).update(undone_at=timezone.now())
    _settle_and_tell(item, person, None, found, "verdict.take_back")
    return item


def checked(comment: str, corrected: str, seconds: float | None) -> Said:
    comment, corrected = storable(comment).strip(), storable(corrected).strip()
    for text, most, name in ((comment, LONGEST_COMMENT, "comment"), (corrected, LONGEST_ANSWER, "answer")):
        if len(text) > most:
            raise Refused(f"The {name} has {len(text):,} characters; at most {most:,} are kept.", "Shorten it.")
    known = seconds is not None and math.isfinite(seconds) and seconds >= 0
    return Said(comment, corrected, min(seconds, LONGEST_LOOK_SECONDS) if known and seconds is not None else None)


def _stale(item: Classification, own: Decision | None) -> Stale:
    """In blind mode a verdict would tell which answer is whose, and a state what the referee found."""
    blind = item.iteration.experiment.settings.gates.blind_review
    if item.review_state not in OPEN_STATES and item.person:
        what = f"{item.person} decided it{_kind(item.person_kind, blind)}"
    elif own:
        what = f"you decided it in another window{_kind(own.kind, blind)}"
    else:
        what = "it is in another state now" if blind else f"it is {item.get_review_state_display().lower()} now"
    return Stale(f"This item has changed while you looked: {what}.", "Your text is kept. Look again, then decide.")


def _kind(kind: str, blind: bool) -> str:
    return "" if blind else f": {DecisionKind(kind).label.lower()}"


def _replace(item: Classification, person: User, kind: DecisionKind, said: Said, before: Decision | None) -> Decision:
    if before:
        Decision.objects.filter(pk=before.pk).update(undone_at=timezone.now())
    return Decision.objects.create(
        classification=item,
        person=person,
        kind=kind,
        comment=said.comment,
        corrected_response=own_answer(item, person, said.corrected),
        seconds=said.seconds,
    )


def own_answer(item: Classification, person: User, text: str) -> Response | None:
    """The person's own answer as a response of theirs; what the teacher said word for word is none."""
    if not text or (item.teacher_response and item.teacher_response.text.strip() == text):
        return None
    response, _ = Response.objects.get_or_create(
        instruction_id=item.instruction_id,
        author=f"person:{person.pk}",
        sampling_hash=hashlib.sha256(text.encode()).hexdigest()[:16],
        defaults={"author_kind": AuthorKind.PERSON, "text": text, "finish": Finish.STOP},
    )
    return response


def _settle_and_tell(
    item: Classification, person: User, now: Decision | None, before: Decision | None, action: str
) -> None:
    state = item.review_state
    settle_held([item])
    audit.record(
        actor=person,
        action=action,
        target=item,
        before=before.kind if before else None,
        after=now.kind if now else None,
        reason=now.comment if now else "",
        corrected=now.corrected_response_id if now else None,
        state=[state, item.review_state],
    )
