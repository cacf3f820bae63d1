"""Leases and claims: who works on which rows, and how they become free when a worker is lost."""

import os
import socket
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now
from django.utils import timezone

from lionweb.models import Claim, Endpoint, Lease, Stage, StageStatus, Worker


@cache
def machine() -> str:
    """Names this machine, and inside containers this container: pids of equal names can be compared."""
    try:
        space = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        space = ""
    return f"{socket.gethostname()}{space.removeprefix('pid:')}"


def worker_name() -> str:
    return f"{machine()}:{os.getpid()}"


def take(*, stage: Stage, part: str, exclusive: str | None = None, endpoint: Endpoint | None = None) -> Lease | None:
    """Begin work on a part; None where another holds the same `exclusive` name."""
    try:
        with transaction.atomic():
            return Lease.objects.create(
                id=uuid.uuid4(),
                stage=stage,
                part=part,
                worker=worker_name(),
                exclusive=exclusive,
                endpoint=endpoint,
                heartbeat_at=Now(),
            )
    except IntegrityError:
        return None


@dataclass(frozen=True)
class Pulse:
    """What a heartbeat learnt: whether to go on, and how many leases share the endpoint."""

    go_on: bool
    sharing: int = 1


def beat(*, lease: Lease) -> Pulse:
    alive = Lease.objects.filter(pk=lease.pk).update(heartbeat_at=Now())
    running = Stage.objects.filter(pk=lease.stage_id, status=StageStatus.RUNNING).exists()
    sharing = Lease.objects.filter(endpoint_id=lease.endpoint_id).count() if lease.endpoint_id else 1
    return Pulse(go_on=bool(alive) and running, sharing=max(1, sharing))


def release(*, lease: Lease) -> None:
    Lease.objects.filter(pk=lease.pk).delete()


def claim(*, lease: Lease, keys: Sequence[str]) -> list[str]:
    """Those of the keys that nobody holds, now held by this lease, in the given order."""
    if not keys:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO lionweb_claim (key, lease_id) SELECT unnest(%s::text[]), %s "
            "WHERE EXISTS (SELECT 1 FROM lionweb_lease WHERE id = %s) ON CONFLICT DO NOTHING RETURNING key",
            [list(keys), lease.pk, lease.pk],
        )
        won = {row[0] for row in cursor.fetchall()}
    return [key for key in keys if key in won]


def unclaim(*, keys: Sequence[str]) -> None:
    Claim.objects.filter(key__in=keys).delete()


def expire_lost() -> list[Stage]:
    """Free the rows of workers that are lost: silent for too long, or gone from this machine. Returns their stages.

    Only the database's clock counts: those of two machines may differ by more than a lease.
    """
    length = timedelta(seconds=settings.LEASE_SECONDS)
    late = Q(heartbeat_at__lt=Now() - length)
    held = Lease.objects.select_related("stage").annotate(silent=ExpressionWrapper(late, BooleanField()))
    lost = [lease for lease in held if lease.silent or _is_gone(lease.worker)]
    Lease.objects.filter(pk__in=[lease.pk for lease in lost]).delete()
    forgotten = timezone.now() - length - timedelta(minutes=10)
    gone = [w.pk for w in Worker.objects.all() if _is_gone(w.name) or w.heartbeat_at < forgotten]
    Worker.objects.filter(pk__in=gone).delete()
    return [lease.stage for lease in lost]


def _is_gone(worker: str) -> bool:
    """Certainly dead: its process was on this machine and is no more."""
    host, _, pid = worker.rpartition(":")
    if host != machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
