"""How far the people who review an iteration are together, and whether they may stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.core.cache import cache
from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from distill.records import Verdict
from distill.settings import GateSettings
from lionweb.models import (
    OPEN_STATES,
    OPINIONS,
    Classification,
    Decision,
    Iteration,
    MemberPool,
    ReviewState,
)
from lionweb.selectors.median import Median
from lionweb.selectors.review_queue import states
from lionweb.stopping import AuditSlice, Stopping, stopping

T = TypeVar("T")
FRESH_SECONDS = 3
"""So long the numbers of an iteration are kept at least, however many people look at them."""
POOL_FRESH_SECONDS = 60
"""The Cache Pool of an iteration does not change once it is judged."""
REST = 20
"""They are kept so many times longer than they took to count, so that counting never costs more than a twentieth."""


@dataclass(frozen=True)
class Member:
    """`total` and `today` count opinions, without skips, flags and resolutions."""

    id: int
    name: str
    total: int
    today: int
    median_seconds: float | None


@dataclass(frozen=True)
class Team:
    done: int
    open: int
    conflicts: int
    flagged: int
    all: int
    members: tuple[Member, ...]
    audit: AuditSlice
    stopping: Stopping
    must_decide_all: bool

    @property
    def today(self) -> int:
        return sum(one.today for one in self.members)


def team(iteration: Iteration) -> Team:
    """A few seconds old at most, unless there is very much to count."""
    return _kept(f"team/{iteration.pk}", lambda: _team(iteration), FRESH_SECONDS)


def _kept(key: str, compute: Callable[[], T], seconds: float) -> T:
    found: T | None = cache.get(key)
    if found is None:
        begun = time.monotonic()
        found = compute()
        cache.set(key, found, max(seconds, REST * (time.monotonic() - begun)))
    return found


def _team(iteration: Iteration) -> Team:
    gates: GateSettings = iteration.experiment.settings.gates
    counts = states(iteration)
    audit = _audit_slice(iteration)
    unseen = max(0, _pool_size(iteration) - _decided(iteration))
    return Team(
        done=counts.get(ReviewState.CONFIRMED, 0) + counts.get(ReviewState.OVERRIDDEN, 0),
        open=sum(counts.get(one, 0) for one in OPEN_STATES),
        conflicts=counts.get(ReviewState.CONFLICT, 0),
        flagged=counts.get(ReviewState.FLAGGED, 0),
        all=sum(counts.values()),
        members=_members(iteration),
        audit=audit,
        stopping=stopping(audit, unseen=unseen, limit_percent=gates.review_stop_percent),
        must_decide_all=gates.review == "require",
    )


def _scored(iteration: Iteration) -> QuerySet[Classification]:
    """An item without scores has no verdict that could be wrong."""
    return Classification.objects.filter(iteration=iteration).exclude(referee_verdict=Verdict.UNSCORED)


def _audit_slice(iteration: Iteration) -> AuditSlice:
    rows = _scored(iteration).filter(audit_slice=True)
    decided = ~Q(person_kind="")
    counts = rows.aggregate(
        drawn=Count("pk"),
        decided=Count("pk", filter=decided),
        wrong=Count("pk", filter=decided & ~Q(person_kind=F("referee_verdict"))),
    )
    return AuditSlice(**counts)


def _decided(iteration: Iteration) -> int:
    return _scored(iteration).exclude(person_kind="").count()


def _pool_size(iteration: Iteration) -> int:
    """Instructions of the Cache Pool that the referee scored."""
    rows = _scored(iteration).filter(pool=MemberPool.CACHE)
    return _kept(f"team/{iteration.pk}/pool", rows.count, POOL_FRESH_SECONDS)


def _members(iteration: Iteration) -> tuple[Member, ...]:
    """Most diligent first."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    live = Decision.objects.filter(classification__iteration=iteration, undone_at__isnull=True, is_resolution=False)
    grouped = live.filter(kind__in=OPINIONS).order_by().values_list("person", "person__username")
    rows = grouped.annotate(
        total=Count("pk"), today=Count("pk", filter=Q(created_at__gte=midnight)), median_seconds=Median("seconds")
    )
    found = (Member(*row) for row in rows)
    return tuple(sorted(found, key=lambda one: (-one.total, one.name)))
