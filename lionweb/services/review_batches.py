"""One decision on many items of the review queue at once, and taking all of it back. Each item gets a decision of its own."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from lionweb.models import (
    EXCLUDING,
    OPEN_STATES,
    OPINIONS,
    AuditEvent,
    Classification,
    Decision,
    DecisionBatch,
    DecisionKind,
    Iteration,
    ReviewLock,
    User,
)
from lionweb.services import audit
from lionweb.services.assignments import check_assigned
from lionweb.services.errors import Refused
from lionweb.services.review_locks import hold_gate, hold_person
from lionweb.services.settling import settle_held

MOST = 5_000
DELETED, SETTLED, OWN, HELD = "deleted", "settled already", "decided by you", "open at other people"


@dataclass(frozen=True)
class Batch:
    """`kept` is None where nothing could be decided. `left_out` counts the other items by why."""

    kept: DecisionBatch | None
    count: int
    left_out: dict[str, int]


@transaction.atomic
def decide_many(
    *, iteration: Iteration, person: User, kind: DecisionKind | str, rows: QuerySet[Classification]
) -> Batch:
    """Give the person's opinion on all `rows` of the queue that still wait for it.

    Raises Refused: the gate is closed, others are assigned, there are too many, or blind review forbids the kind.
    """
    kind = DecisionKind(kind)
    _check_kind(iteration, kind)
    hold_person(person)
    hold_gate(iteration.pk)
    check_assigned(person, iteration.experiment_id)
    items = _held(rows.filter(iteration=iteration, for_review=True).values_list("pk", flat=True)[: MOST + 1])
    reasons = _reasons(items, person)
    chosen = [item for item in items if item.pk not in reasons]
    left_out = dict(Counter(reasons.values()))
    if not chosen:
        return Batch(None, 0, left_out)
    batch = DecisionBatch.objects.create(iteration=iteration, person=person, kind=kind)
    _say(batch, chosen)
    return Batch(batch, len(chosen), left_out)


@transaction.atomic
def undo_batch(*, batch: DecisionBatch, person: User) -> int:
    """Take back what still stands of a batch. Returns how many. Raises Refused where nothing does, or the gate is closed."""
    hold_person(person)
    hold_gate(batch.iteration_id)
    check_assigned(person, batch.iteration.experiment_id)
    live = batch.decisions.filter(person=person, undone_at__isnull=True)
    items = _held(live.values_list("classification", flat=True))
    if not items:
        raise Refused("There is nothing of these decisions of yours to take back.", "Load the page again.")
    live.update(undone_at=timezone.now())
    _settle_and_tell(batch, items, "verdict.take_back", before={item.pk: batch.kind for item in items}, after=None)
    audit.record(
        actor=person, action="verdict.take_back_many", target=batch, experiment=batch.iteration.experiment,
        kind=batch.kind, count=len(items),
    )  # fmt: skip
    return len(items)


def last_batch(*, person: User, iteration: Iteration) -> DecisionBatch | None:
    """The one that the person's last standing decision belongs to: what undoing would take back."""
    live = Decision.objects.filter(person=person, undone_at__isnull=True, classification__iteration=iteration)
    last = live.select_related("batch").order_by("-pk").first()
    return last.batch if last else None


def _check_kind(iteration: Iteration, kind: DecisionKind) -> None:
    if kind not in OPINIONS:
        raise Refused("Only an opinion can be given on many items at once.", "Choose another decision.")
    if kind not in EXCLUDING and iteration.experiment.settings.gates.blind_review:
        raise Refused("In blind review answers are compared one pair at a time.", "Open the items one by one.")


def _held(ids: Iterable[int]) -> list[Classification]:
    """Locked in one order, so that two batches wait for each other instead of both for ever."""
    wanted = list(ids)
    if len(wanted) > MOST:
        raise Refused(f"More than {MOST:,} items match.", "Narrow the filter.")
    rows = Classification.objects.select_for_update(no_key=True, of=("self",)).filter(pk__in=wanted)
    return list(rows.select_related("iteration__experiment", "instruction").order_by("pk"))


def _reasons(items: Sequence[Classification], person: User) -> dict[int, str]:
    """Why items are left out, of those that are."""
    own = Decision.objects.filter(classification__in=items, person=person, kind__in=OPINIONS, undone_at__isnull=True)
    decided = set(own.values_list("classification", flat=True))
    locks = ReviewLock.objects.filter(classification__in=items, expires_at__gt=timezone.now())
    mine = set(locks.filter(person=person).values_list("classification", flat=True))
    others = Counter(locks.exclude(person=person).values_list("classification", flat=True))

    def reason(item: Classification) -> str:
        if item.instruction.deleted_at:
            return DELETED
        if item.pk in decided:
            return OWN
        if item.review_state not in OPEN_STATES:
            return SETTLED
        full = others[item.pk] and others[item.pk] >= item.opinions_needed - item.opinions
        return HELD if full and item.pk not in mine else ""

    return {item.pk: why for item in items if (why := reason(item))}


def _say(batch: DecisionBatch, items: Sequence[Classification]) -> None:
    """A skip or flag that the person left before is replaced, as by a single decision."""
    person = batch.person
    earlier = Decision.objects.filter(
        classification__in=items, person=person, is_resolution=False, undone_at__isnull=True
    )
    before: dict[int, str] = dict(earlier.values_list("classification", "kind"))
    earlier.update(undone_at=timezone.now())
    Decision.objects.bulk_create(
        Decision(classification=item, person=person, kind=batch.kind, batch=batch) for item in items
    )
    ReviewLock.objects.filter(classification__in=items, person=person).delete()
    _settle_and_tell(batch, items, "verdict.decide", before=before, after=batch.kind)
    audit.record(
        actor=person, action="verdict.decide_many", target=batch, experiment=batch.iteration.experiment,
        kind=batch.kind, count=len(items),
    )  # fmt: skip


def _settle_and_tell(
    batch: DecisionBatch, items: Sequence[Classification], action: str, *, before: dict[int, str], after: str | None
) -> None:
    states = {item.pk: item.review_state for item in items}
    settle_held(items)
    AuditEvent.objects.bulk_create(
        AuditEvent(
            actor=batch.person,
            action=action,
            target_type="classification",
            target_id=str(item.pk),
            experiment_id=batch.iteration.experiment_id,
            detail={
                "before": before.get(item.pk),
                "after": after,
                "batch": batch.pk,
                "state": [states[item.pk], item.review_state],
            },
        )
        for item in items
    )
