"""Changes of many instructions at once: asked for by a person, done by a worker, chunk by chunk, and taken back the same way."""

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction
from django.utils import timezone

from lionweb import queue
from lionweb.models import (
    BULK_OPEN,
    BULK_TRANSITIONS,
    BulkAction,
    BulkItem,
    BulkJob,
    BulkStatus,
    Instruction,
    Pool,
    PoolKind,
    Role,
    User,
)
from lionweb.selectors.browser_state import BrowserState, state_and_scope
from lionweb.selectors.scope import Scope
from lionweb.services import audit
from lionweb.services.errors import Refused
from lionweb.services.pools import checked_name, reserve

LONGEST_VALUE = {BulkAction.CATEGORY: 100, BulkAction.LANGUAGE: 16}
MOST_CHOSEN = 5_000
"""Ids that one request may name; more are asked for by a query."""
ENDS = frozenset({BulkStatus.SUCCEEDED, BulkStatus.CANCELLED, BulkStatus.FAILED, BulkStatus.UNDONE})


@transaction.atomic
def start_bulk(
    *,
    actor: User,
    action: str,
    value: str = "",
    pool: Pool | None = None,
    new_pool: str = "",
    ids: Sequence[int] = (),
    query: str | None = None,
) -> BulkJob:
    """A change of the instructions with these ids, or of all that the browser's `query` shows. Raises Refused."""
    if action not in BulkAction.values:
        raise Refused(f"{action!r} is nothing that can be done with instructions.", "Choose one of the list.")
    if query is None and not 0 < len(ids) <= MOST_CHOSEN:
        raise Refused("No instruction is selected.", "Select some of the list, or all that match.")
    made = new_pool.strip() if action == BulkAction.POOL else ""
    into = _pool(actor, pool, made) if action == BulkAction.POOL else None
    job = BulkJob.objects.create(
        actor=actor,
        action=action,
        value=into.name if into else _checked_value(action, value),
        pool=into,
        pool_is_new=bool(made),
        query="" if query is None else _pinned(query),
    )
    if query is None:
        _choose(job, ids)
    audit.record(actor=actor, action="bulk.start", target=job, change=action, value=job.value, query=job.query)
    queue.ring_bulk(job_id=job.pk)
    return job


def _checked_value(action: str, value: str) -> str:
    if action not in LONGEST_VALUE:
        return ""
    value, most = value.strip(), LONGEST_VALUE[BulkAction(action)]
    if len(value) > most or "\0" in value:
        raise Refused(f"The {action} is longer than {most} characters.", "Choose a shorter one.")
    return value


def _pool(actor: User, pool: Pool | None, name: str) -> Pool:
    if not name and pool is None:
        raise Refused("No pool is chosen.", "Choose a pool, or name a new one.")
    if pool is not None and not name:
        return pool
    return reserve(checked_name(name, PoolKind.SEED), PoolKind.SEED, "", actor)


def _pinned(query: str) -> str:
    """The query with the iteration that it shows now: a later one must not change what is meant."""
    state, scope = resolved(query)
    number = scope.iteration.number if scope.iteration else None
    return replace(state, iteration=number, after="", before="", cols="").query()


def resolved(query: str) -> tuple[BrowserState, Scope]:
    """Raises Refused for a query that shows nothing."""
    try:
        return state_and_scope(dict(parse_qsl(query)))
    except (ValueError, ObjectDoesNotExist) as error:
        raise Refused("This list is not there any more.", "Open the instructions again and select anew.") from error


def _choose(job: BulkJob, ids: Sequence[int]) -> None:
    found = Instruction.objects.filter(pk__in=set(ids)).order_by("pk").values_list("pk", flat=True)
    items = BulkItem.objects.bulk_create(BulkItem(job=job, instruction_id=pk) for pk in found)
    if not items:
        raise Refused("The selected instructions are not there any more.", "Load the list again.")
    job.chosen, job.total = True, len(items)
    job.save(update_fields=["chosen", "total"])


def cancel_bulk(*, actor: User, job: BulkJob) -> None:
    """What is changed by now stays changed until it is undone. Raises Refused where it has ended."""
    _owned(actor, job)
    with transaction.atomic():
        if not move(job=job, to=BulkStatus.CANCELLED):
            raise Refused("This change has ended already.", "Undo it instead.")
        audit.record(actor=actor, action="bulk.cancel", target=job, done=job.done)


def undo_bulk(*, actor: User, job: BulkJob) -> None:
    """Gives every instruction back what it had, unless it was changed again since. Raises Refused where there is nothing."""
    _owned(actor, job)
    with transaction.atomic():
        if not job.chosen or not move(job=job, to=BulkStatus.UNDOING):
            raise Refused("This change cannot be undone now.", "Wait until it has ended; it can be undone once.")
        audit.record(actor=actor, action="bulk.undo", target=job, done=job.done)
        queue.ring_bulk(job_id=job.pk)


def _owned(actor: User, job: BulkJob) -> None:
    if job.actor_id != actor.pk and not actor.may(Role.ADMIN):
        raise PermissionDenied("Only who started it or an administrator may do this.")


def move(*, job: BulkJob, to: str, error: str = "") -> bool:
    """The one change of a bulk job's status; False where the job is not in a status from which it may come."""
    before = [status for status, after in BULK_TRANSITIONS.items() if to in after]
    ended = timezone.now() if to in ENDS else None
    moved = BulkJob.objects.filter(pk=job.pk, status__in=before).update(status=to, error=error, ended_at=ended)
    job.refresh_from_db()
    return bool(moved)


def ring_open() -> None:
    """Call for every job that has something to do; one that a living worker holds takes no notice."""
    for pk in BulkJob.objects.filter(status__in=BULK_OPEN).values_list("pk", flat=True):
        queue.ring_bulk(job_id=pk)
