"""Leak checks in the background: asked for, claimed by one worker, gone on with where the last one stopped."""

from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from lionweb import queue
from lionweb.models import EvaluationSet, Instruction, LeakHit, LeakScan, Pool, PoolEntry
from lionweb.services import leaks

CHUNK = 5000
CLAIM = timedelta(seconds=120)
TURN = timedelta(seconds=15)
REMARK = "leaks"


def ask(*, pool: Pool | None = None, evaluation_set: EvaluationSet | None = None) -> LeakScan | None:
    """Begin a check once the transaction is committed. Without any evaluation set there is nothing to compare with."""
    if not EvaluationSet.objects.exists():
        return None
    last = Instruction.objects.aggregate(last=Max("pk"))["last"] or 0
    scan = LeakScan.objects.create(pool=pool, evaluation_set=evaluation_set, last=last)
    queue.ring_for_leak_scan(scan_id=scan.pk)
    return scan


def ring_open() -> None:
    """Call for scans that nobody works on: the message was lost, or the worker."""
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=timezone.now())
    for pk in LeakScan.objects.filter(free, finished_at__isnull=True).values_list("pk", flat=True)[:10]:
        queue.ring_for_leak_scan(scan_id=pk)


def run(*, scan_id: int) -> None:
    """Work on a scan for a turn, unless another worker does, then make room for other work and call again."""
    now = timezone.now()
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    if not LeakScan.objects.filter(free, pk=scan_id, finished_at__isnull=True).update(claimed_until=now + CLAIM):
        return
    while _step(scan_id):
        if timezone.now() > now + TURN:
            LeakScan.objects.filter(pk=scan_id).update(claimed_until=None)
            queue.ring_for_leak_scan(scan_id=scan_id)
            return


def is_done(*, pool: Pool) -> bool:
    """Whether a pool is compared with every evaluation set; asks for what nobody has asked for yet."""
    if not LeakScan.objects.filter(pool=pool).exists():
        return ask(pool=pool) is None
    unfinished = LeakScan.objects.filter(finished_at__isnull=True)
    return not unfinished.filter(Q(pool=pool) | Q(evaluation_set__isnull=False)).exists()


@transaction.atomic
def _step(scan_id: int) -> bool:
    """One chunk. The row is the lock, so that two who work on it at once do each chunk once."""
    scan = LeakScan.objects.select_for_update(of=("self",)).filter(pk=scan_id, finished_at__isnull=True).first()
    if scan is None:
        return False
    rows = list(_open(scan)[:CHUNK])
    leaks.check(instructions=rows, only=scan.evaluation_set)
    if len(rows) < CHUNK:
        scan.finished_at = timezone.now()
        _sum_up(scan)
    scan.reached = rows[-1].pk if rows else scan.reached
    scan.claimed_until = timezone.now() + CLAIM
    scan.save(update_fields=["reached", "claimed_until", "finished_at"])
    return scan.finished_at is None


def _open(scan: LeakScan) -> QuerySet[Instruction]:
    rows = Instruction.objects.filter(pk__gt=scan.reached, pk__lte=scan.last).only("text", "input").order_by("pk")
    if scan.pool_id:
        rows = rows.filter(Exists(PoolEntry.objects.filter(pool=scan.pool_id, instruction=OuterRef("pk"))))
    return rows


def _sum_up(scan: LeakScan) -> None:
    for pool in Pool.objects.filter(pk=scan.pool_id) if scan.pool_id else Pool.objects.all():
        count_leaks(pool=pool)


def count_leaks(*, pool: Pool) -> None:
    """Write on the pool how many of its instructions overlap with which evaluation sets."""
    hits = LeakHit.objects.filter(Exists(PoolEntry.objects.filter(pool=pool, instruction=OuterRef("instruction"))))
    count = hits.values("instruction").distinct().count()
    locked = Pool.objects.select_for_update(no_key=True).get(pk=pool.pk)
    problems = [one for one in locked.problems if one.get("about") != REMARK]
    if count:
        names = ", ".join(hits.order_by("item__set__name").values_list("item__set__name", flat=True).distinct()[:5])
        text = f"{count:,} instructions overlap with evaluation items ({names}). They are marked wherever they stand."
        problems.insert(0, {"line": 0, "message": text, "kind": "remark", "about": REMARK})
    Pool.objects.filter(pk=pool.pk).update(leak_count=count, problems=problems)
