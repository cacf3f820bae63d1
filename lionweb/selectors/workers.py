"""Who works on what: workers, running chunks, waiting work, and the processes of this machine's stack."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet
from django.utils import timezone

from lionweb.local.home import up_state
from lionweb.models import GATES, Lease, Stage, StageKind, StageStatus, Worker

QUEUES: dict[str, tuple[str, ...]] = {
    StageKind.ANSWER: ("api",),
    StageKind.TRAIN: ("gpu",),
    StageKind.COMPARE: ("api", "gpu"),
    StageKind.GENERATE: ("api", "default"),
}
"""Which queues the parts of a stage ring, so that a stage nobody can work on is told."""
REFEREE_QUEUES = {"pairwise": "api", "reference": "api", "single": "api", "likelihood": "gpu", "imported": "default"}


@dataclass(frozen=True)
class WorkerRow:
    worker: Worker
    is_lost: bool
    doing: str


@dataclass(frozen=True)
class WaitingStage:
    """A stage with work left; `queues` are those its parts need, `missing` those of them that no worker serves.

    `held` of its rows are claimed now.
    """

    stage: Stage
    queues: tuple[str, ...]
    left: int
    held: int
    missing: tuple[str, ...]


@dataclass(frozen=True)
class LocalProcess:
    name: str
    pid: int | None
    restarts: int
    state: str


@dataclass(frozen=True)
class WorkersPage:
    workers: tuple[WorkerRow, ...]
    leases: tuple[Lease, ...]
    waiting: tuple[WaitingStage, ...]
    processes: tuple[LocalProcess, ...]
    started_at: datetime | None
    lease_seconds: float

    @property
    def unserved(self) -> list[str]:
        """Queues with waiting work that no living worker serves."""
        return sorted({queue for one in self.waiting for queue in one.missing})


def workers_page() -> WorkersPage:
    leases = tuple(_leases())
    workers = tuple(_worker(one, leases) for one in Worker.objects.order_by("hostname", "name"))
    served = {queue for row in workers if not row.is_lost for queue in row.worker.queues.replace(",", " ").split()}
    processes, started_at = _local_stack()
    return WorkersPage(workers, leases, _waiting(leases, served), processes, started_at, settings.LEASE_SECONDS)


def _worker(worker: Worker, leases: tuple[Lease, ...]) -> WorkerRow:
    lost_before = timezone.now() - timedelta(seconds=settings.LEASE_SECONDS)
    held = [f"{lease.stage.get_kind_display()} of {lease.stage.iteration.experiment.name}" for lease in leases
            if lease.worker == worker.name]  # fmt: skip
    return WorkerRow(worker, worker.heartbeat_at < lost_before, worker.doing or ", ".join(dict.fromkeys(held)))


def _leases() -> QuerySet[Lease]:
    rows = Lease.objects.select_related("stage__iteration__experiment", "endpoint")
    return rows.annotate(held=Count("claims")).order_by("created_at")


def _waiting(leases: tuple[Lease, ...], served: set[str]) -> tuple[WaitingStage, ...]:
    held: dict[int, int] = {}
    for lease in leases:
        held[lease.stage_id] = held.get(lease.stage_id, 0) + getattr(lease, "held", 0)
    running = Stage.objects.filter(status=StageStatus.RUNNING).exclude(kind__in=GATES)
    stages = running.select_related("iteration__experiment").order_by("pk")
    return tuple(_waiting_stage(stage, held.get(stage.pk, 0), served) for stage in stages)


def _waiting_stage(stage: Stage, held: int, served: set[str]) -> WaitingStage:
    queues = QUEUES.get(stage.kind) or (REFEREE_QUEUES[stage.iteration.experiment.settings.referee.mode], "default")
    missing = tuple(queue for queue in queues if queue not in served)
    return WaitingStage(stage, queues, max(0, stage.total - stage.done), held, missing)


def _local_stack() -> tuple[tuple[LocalProcess, ...], datetime | None]:
    """What `./lion up` wrote about itself; nothing where the parts run elsewhere."""
    try:
        state = json.loads(up_state(settings.LIONWEB_HOME).read_text())
        started = datetime.fromtimestamp(float(state["started"]), tz=timezone.get_current_timezone())
        return tuple(_process(name, one) for name, one in state["processes"].items()), started
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return (), None


def _process(name: str, one: dict[str, Any]) -> LocalProcess:
    return LocalProcess(name, one.get("pid"), int(one.get("restarts", 0)), str(one.get("state", "")))
