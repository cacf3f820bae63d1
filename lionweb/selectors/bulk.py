"""Changes of many instructions at once, as pages show them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from lionweb.models import BULK_OPEN, BulkAction, BulkJob, BulkStatus, Role, User

SHOWN_AFTERWARDS = timedelta(minutes=15)
MOST_SHOWN, MOST_LISTED = 3, 100
_ICONS = {"pending": "queued", "undoing": "running", "undone": "cancelled"}


@dataclass(frozen=True)
class ShownJob:
    job: BulkJob
    may_change: bool

    @property
    def is_open(self) -> bool:
        return self.job.status in BULK_OPEN

    @property
    def icon(self) -> str:
        """A name that pills know."""
        return _ICONS.get(self.job.status, self.job.status)

    @property
    def may_cancel(self) -> bool:
        return self.may_change and self.job.status in (BulkStatus.PENDING, BulkStatus.RUNNING)

    @property
    def may_undo(self) -> bool:
        ended = (BulkStatus.SUCCEEDED, BulkStatus.CANCELLED, BulkStatus.FAILED)
        return self.may_change and self.job.status in ended and self.job.chosen and self.job.done > 0

    @property
    def words(self) -> str:
        job = self.job
        if job.action in (BulkAction.CATEGORY, BulkAction.LANGUAGE):
            return f"Set the {job.action} to “{job.value}”" if job.value else f"Clear the {job.action}"
        if job.action == BulkAction.POOL:
            return f"Add to the pool {job.pool.name}" if job.pool else f"Add to the pool {job.value}"
        return str(BulkAction(job.action).label)


def shown_jobs(person: User) -> list[ShownJob]:
    """The person's own: what is open, and what ended a short time ago."""
    recent = Q(status__in=BULK_OPEN) | Q(ended_at__gt=timezone.now() - SHOWN_AFTERWARDS)
    return _shown(
        BulkJob.objects.filter(recent, actor=person).select_related("pool").order_by("-id")[:MOST_SHOWN], person
    )


def all_jobs(person: User) -> list[ShownJob]:
    return _shown(BulkJob.objects.select_related("pool", "actor").order_by("-id")[:MOST_LISTED], person)


def _shown(jobs: Iterable[BulkJob], person: User) -> list[ShownJob]:
    may_change, all_of_them = person.may(Role.RESEARCHER), person.may(Role.ADMIN)
    return [ShownJob(job, may_change and (all_of_them or job.actor_id == person.pk)) for job in jobs]
