"""Who has an item of the review queue open. A lock runs out by itself, so nobody who went home holds up the others.

Rows are locked in one order everywhere, so that people cannot block each other for good: the person, the gate, the item.
"""

from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Exists, F, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils import timezone

from lionweb.models import (
    OPEN_STATES,
    Classification,
    Decision,
    Iteration,
    ReviewLock,
    Stage,
    StageKind,
    StageStatus,
    User,
)
from lionweb.review_filters import EVERYTHING, ReviewFilters
from lionweb.services.assignments import check_assigned
from lionweb.services.errors import Refused


class HeldByOthers(Refused):
    code = "held_by_others"


@transaction.atomic
def take_next(
    *,
    iteration: Iteration,
    person: User,
    filters: ReviewFilters = EVERYTHING,
    after: Classification | None = None,
) -> Classification | None:
    """The next item that waits for this person, locked for them; None where nothing does.

    The item they have open comes first, unless `after` says to go on from a place in the queue.
    """
    hold_person(person)
    check_assigned(person, iteration.experiment_id)
    item = None if after else _still_open(iteration, person, filters)
    item = item or _first_free(waiting(iteration, person, filters), person, after)
    if item:
        _lock(item, person)
    return item


@transaction.atomic
def take(*, classification: Classification, person: User) -> ReviewLock:
    """Raises HeldByOthers, with names and times, where enough people are on it already."""
    hold_person(person)
    check_assigned(person, classification.iteration.experiment_id)
    item = Classification.objects.select_for_update(no_key=True).get(pk=classification.pk)
    check_room(item, person)
    return _lock(item, person)


@transaction.atomic
def refresh(*, classification: Classification, person: User) -> ReviewLock:
    """A sign of life: the lock runs from now. Raises HeldByOthers where it ran out and others took the item."""
    return take(classification=classification, person=person)


def release(*, classification: Classification, person: User) -> None:
    ReviewLock.objects.filter(classification=classification, person=person).delete()


def hold_person(person: User) -> None:
    """Two windows of one person take turns."""
    User.objects.select_for_update(no_key=True).values_list("pk").get(pk=person.pk)


def hold_item(*, classification: Classification, person: User) -> Classification:
    """The item as it is now, locked for a change by this person until the transaction ends.

    Raises:
        Refused: the iteration has moved on, the item or its instruction was deleted meanwhile, or others are assigned.
    """
    hold_person(person)
    hold_gate(classification.iteration_id)
    rows = Classification.objects.select_for_update(no_key=True, of=("self",))
    item = rows.select_related("instruction__deleted_by", "iteration__experiment").filter(pk=classification.pk).first()
    if item is None:
        raise Refused("This item is no longer there: it was deleted meanwhile.", "Go on to the next one.")
    check_assigned(person, item.iteration.experiment_id)
    if item.instruction.deleted_at:
        who = item.instruction.deleted_by or "somebody"
        raise Refused(f"This instruction was deleted by {who} meanwhile.", "Go on to the next one.")
    return item


def hold_gate(iteration: int) -> None:
    """Many may decide at a time, but none while the gate is being closed: a lock that they share and closing does not."""
    rows = Stage.objects.raw(
        "SELECT id, status FROM lionweb_stage WHERE iteration_id = %s AND kind = %s FOR SHARE",
        [iteration, StageKind.REVIEW.value],
    )
    if any(stage.status == StageStatus.SUCCEEDED for stage in rows):
        raise Refused(
            "This iteration has moved on, so its decisions are closed.", "Decide on the item in the next iteration."
        )


def check_room(item: Classification, person: User) -> None:
    """Raises HeldByOthers where as many people as opinions are missing have the item open, and this one has not."""
    locks = list(ReviewLock.objects.filter(classification=item, expires_at__gt=timezone.now()).select_related("person"))
    others = [lock for lock in locks if lock.person_id != person.pk]
    if len(others) < len(locks) or item.review_state not in OPEN_STATES:
        return
    if others and len(others) >= item.opinions_needed - item.opinions:
        raise HeldByOthers(f"{_names(others)} this item open.", "Take another one, or come back later.")


def _names(locks: Sequence[ReviewLock]) -> str:
    held = [f"{lock.person} (until {timezone.localtime(lock.expires_at):%H:%M})" for lock in locks]
    return " and ".join(held) + (" has" if len(held) == 1 else " have")


def waiting(iteration: Iteration, person: User, filters: ReviewFilters) -> QuerySet[Classification]:
    """Open items on which this person has not decided, in the order of the queue."""
    own = Decision.objects.filter(classification=OuterRef("pk"), person=person, undone_at__isnull=True)
    rows = Classification.objects.filter(iteration=iteration, review_state__in=OPEN_STATES)
    rows = rows.filter(filters.where(), ~Exists(own), instruction__deleted_at__isnull=True)
    return rows.order_by("queue_rank", "pk")


def _still_open(iteration: Iteration, person: User, filters: ReviewFilters) -> Classification | None:
    lock = ReviewLock.objects.filter(classification=OuterRef("pk"), person=person, expires_at__gt=timezone.now())
    held = ReviewLock.objects.filter(person=person).values("classification")
    rows = waiting(iteration, person, filters).filter(Exists(lock), pk__in=held)
    return rows.select_for_update(no_key=True, of=("self",)).first()


def _first_free(rows: QuerySet[Classification], person: User, after: Classification | None) -> Classification | None:
    """Whoever stands in the way of another just now is passed over, so that nobody waits.

    The search sees the locks of the moment it began; therefore they are looked at again once the row is ours.
    """
    locks = ReviewLock.objects.filter(classification=OuterRef("pk"), expires_at__gt=timezone.now())
    others = locks.exclude(person=person).order_by().values("classification").annotate(n=Count("pk")).values("n")
    held = Coalesce(Subquery(others, output_field=IntegerField()), 0)
    free = rows.annotate(held=held).filter(held__lt=F("opinions_needed") - F("opinions"))
    if after:
        place = (after.queue_rank, after.pk)
        free = free.filter(queue_rank__gte=place[0]).exclude(queue_rank=place[0], pk__lte=place[1])
    passed: list[int] = []
    while item := free.exclude(pk__in=passed).select_for_update(no_key=True, skip_locked=True, of=("self",)).first():
        try:
            check_room(item, person)
        except HeldByOthers:
            passed.append(item.pk)
        else:
            return item
    return None


def _lock(item: Classification, person: User) -> ReviewLock:
    """A person has one item open at a time; expired locks of others go."""
    now = timezone.now()
    expired = Q(classification=item, expires_at__lte=now)
    ReviewLock.objects.filter(expired | Q(person=person)).exclude(person=person, classification=item).delete()
    lock = ReviewLock(
        classification=item, person=person, expires_at=now + timedelta(seconds=settings.REVIEW_LOCK_SECONDS)
    )
    ReviewLock.objects.bulk_create(
        [lock], update_conflicts=True, unique_fields=["classification", "person"], update_fields=["expires_at"]
    )
    return lock
