"""Works through a bulk job. Any worker may be called to it at any time: the one that holds its lock goes on where it stands."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F
from django.utils import timezone

from distill.errors import DistillError
from lionweb import queue
from lionweb.models import BulkJob, BulkStatus, EvaluationSet, Experiment, ItemState, PoolEntry
from lionweb.selectors.browser import matching_ids
from lionweb.services import audit, leak_scans
from lionweb.services.bulk import move, resolved
from lionweb.services.bulk_changes import apply_chunk, settle_pool, undo_chunk

logger = logging.getLogger(__name__)


TURN = timedelta(seconds=15)


def work_on(job_id: int) -> None:
    """Carry the job on for a turn, unless another worker does, then make room for other work and call again.

    The lock is the connection's: it ends with the worker.
    """
    again = False
    with _held(job_id) as held:
        job = BulkJob.objects.select_related("pool").filter(pk=job_id).first() if held else None
        if job is None:
            return
        try:
            again = _carry_out(job)
        except (OperationalError, InterfaceError):
            raise  # the database is away or restarts: the sweep calls again
        except DistillError as error:
            _fail(job, str(error))
        except Exception as error:
            logger.exception("Bulk job %s failed", job.pk)
            _fail(job, f"{type(error).__name__}: {error}. The worker's log has the details.")
    if again:  # after the lock is free: whoever comes earlier takes no notice
        queue.ring_bulk(job_id=job_id)


@transaction.atomic
def _fail(job: BulkJob, error: str) -> None:
    """What was done so far stays, and is counted."""
    settle_pool(job)
    move(job=job, to=BulkStatus.FAILED, error=error)


@contextmanager
def _held(job_id: int) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtext('lionweb.bulk'), %s)", [job_id])
        held = bool(cursor.fetchone()[0])
    try:
        yield held
    finally:
        if held and connection.is_usable():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(hashtext('lionweb.bulk'), %s)", [job_id])


def _carry_out(job: BulkJob) -> bool:
    """Whether there is more to do."""
    if job.status == BulkStatus.PENDING and not move(job=job, to=BulkStatus.RUNNING):
        return False
    if job.status == BulkStatus.RUNNING:
        _choose(job)
        return _work(job, BulkStatus.RUNNING, apply_chunk, BulkStatus.SUCCEEDED)
    if job.status == BulkStatus.UNDOING:
        if _work(job, BulkStatus.UNDOING, undo_chunk, BulkStatus.UNDONE):
            return True
        _forget_pool(job)
    return False


@transaction.atomic
def _choose(job: BulkJob) -> None:
    """Settle once which instructions are meant."""
    if job.chosen:
        return
    wanted = matching_ids(*resolved(job.query))
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lionweb_bulkitem (job_id, instruction_id, state) "
            f"SELECT %s, id, 'open' FROM ({wanted.sql}) AS wanted ORDER BY id ON CONFLICT DO NOTHING",
            [job.pk, *wanted.values],
        )
        job.chosen, job.total = True, cursor.rowcount
    job.save(update_fields=["chosen", "total"])


def _work(job: BulkJob, status: str, step: Callable[[BulkJob], int], end: str) -> bool:
    """Step by step until nothing is left, a person says otherwise or the turn is over; True: the last. Each is whole."""
    until = timezone.now() + TURN
    while _step(job, status, step):
        if timezone.now() > until:
            return True
    with transaction.atomic():
        settle_pool(job)
        if job.pool and EvaluationSet.objects.exists():
            leak_scans.count_leaks(pool=job.pool)
        if move(job=job, to=end):
            kept = job.items.filter(state=ItemState.KEPT).count()
            BulkJob.objects.filter(pk=job.pk).update(kept=kept)
            audit.record(actor=job.actor, action=f"bulk.{end}", target=job, total=job.total, kept=kept)
    return False


@transaction.atomic
def _step(job: BulkJob, status: str, step: Callable[[BulkJob], int]) -> bool:
    """The job's row is held meanwhile, so that a cancellation falls between two chunks."""
    if not BulkJob.objects.select_for_update(no_key=True).filter(pk=job.pk, status=status).exists():
        return False
    count = step(job)
    way = 1 if status == BulkStatus.RUNNING else -1
    BulkJob.objects.filter(pk=job.pk).update(done=F("done") + way * count)
    return bool(count)


@transaction.atomic
def _forget_pool(job: BulkJob) -> None:
    """A pool that this job had made goes with its last entry, if nobody uses it."""
    pool = job.pool
    job.refresh_from_db(fields=["status"])
    if pool is None or not job.pool_is_new or job.status != BulkStatus.UNDONE:
        return
    used = Experiment.objects.filter(pool=pool) | Experiment.objects.filter(heldout_pool=pool)
    filling = BulkJob.objects.filter(pool=pool, status__in=(BulkStatus.PENDING, BulkStatus.RUNNING))
    if not used.exists() and not filling.exists() and not PoolEntry.objects.filter(pool=pool).exists():
        audit.record(actor=job.actor, action="pool.delete", target=pool, name=pool.name)
        pool.delete()
