"""Pages of rows that are only ever added, newest first: by keys of time and number, so that page 10,000 costs what the first does."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, Generic, Protocol, TypeVar

from django.db.models import F, QuerySet
from django.db.models.fields.tuple_lookups import TupleGreaterThan, TupleLessThan
from django.utils import timezone


class Dated(Protocol):
    pk: Any
    at: Any


Row = TypeVar("Row", bound=Any)


@dataclass(frozen=True)
class TimePage(Generic[Row]):
    """`newer` and `older` are cursors of the pages beside this one; empty where there is none."""

    rows: tuple[Row, ...]
    newer: str
    older: str


def page_by_time(found: QuerySet[Row], *, after: str, before: str, size: int) -> TimePage[Row]:
    """The rows after a cursor, or before one. The model has `at` and `id`; a cursor that someone spoilt gives the first page."""
    backwards = bool(before)
    cursor = _parsed(before or after)
    order = ("at", "id") if backwards else ("-at", "-id")
    if cursor:
        compare = TupleGreaterThan if backwards else TupleLessThan
        found = found.filter(compare((F("at"), F("id")), cursor))
    rows = list(found.order_by(*order)[: size + 1])
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    has_newer, has_older = (more, bool(rows)) if backwards else (cursor is not None and bool(rows), more)
    return TimePage(
        rows=tuple(rows),
        newer=_cursor(rows[0]) if has_newer else "",
        older=_cursor(rows[-1]) if has_older else "",
    )


def between(found: QuerySet[Row], since: date | None, until: date | None) -> QuerySet[Row]:
    """Rows of these days, both included, in the time zone of the installation."""
    if since:
        found = found.filter(at__gte=_midnight(since))
    if until:
        found = found.filter(at__lt=_midnight(until + timedelta(days=1)))
    return found


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _cursor(row: Dated) -> str:
    return f"{row.pk}:{row.at.isoformat()}"


def _parsed(cursor: str) -> tuple[datetime, int] | None:
    """None for the first page, and for a cursor that someone spoilt."""
    pk, _, moment = cursor.partition(":")
    if not pk.isdecimal() or len(pk) > 18:
        return None
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return None
    return (at, int(pk)) if timezone.is_aware(at) else None
