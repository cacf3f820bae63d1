"""The log of an iteration: changes of status and lines of its stages, oldest first."""

from dataclasses import dataclass
from datetime import datetime

from lionweb.models import Iteration, StageEvent, StageKind

PAGE_SIZE = 300


@dataclass(frozen=True)
class LogLine:
    id: int
    at: datetime
    stage: str
    from_status: str
    to_status: str
    message: str
    actor: str


@dataclass(frozen=True)
class Log:
    """`earlier`: older lines exist that are not here. `last_id`: where the tail goes on."""

    lines: tuple[LogLine, ...]
    earlier: bool
    last_id: int


def log_tail(iteration: Iteration, *, after: int = 0, whole: bool = False) -> Log:
    """Lines after an id; without one the last PAGE_SIZE, or all of them."""
    events = StageEvent.objects.filter(stage__iteration=iteration, id__gt=after)
    limit = None if whole or after else PAGE_SIZE + 1
    newest = list(
        events.order_by("-id").values_list("id", "at", "stage__kind", "from_status", "to_status", "message", "actor")[
            :limit
        ]
    )
    earlier = limit is not None and len(newest) == limit
    rows = reversed(newest[:PAGE_SIZE] if earlier else newest)
    lines = tuple(LogLine(pk, at, StageKind(kind).label, *rest) for pk, at, kind, *rest in rows)
    return Log(lines, earlier, lines[-1].id if lines else after)
