"""What the pool browser shows: one page of instructions, by keys instead of offsets, so that deep pages cost no more."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.cache import cache
from django.db import OperationalError, connection, transaction
from psycopg.errors import QueryCanceled

from lionweb.models import Approval
from lionweb.selectors.browser_query import KEYS, NULLABLE, Query, beyond, query_of
from lionweb.selectors.browser_state import BrowserState
from lionweb.selectors.instruction_search import Condition
from lionweb.selectors.scope import Scope

PAGE_SIZE = 50
COUNTED = 1_000
HOPELESS = 20_000
MOST_COUNTING_MILLISECONDS = 30
PREVIEW, INPUT_PREVIEW = 420, 200
_ESTIMATES_KEPT_SECONDS = 60
_WHOLE_KEYS = frozenset({"length", "position"})


@dataclass(frozen=True)
class BrowserRow:
    id: int
    text: str
    input: str
    language: str
    category: str
    length: int
    created_at: datetime
    is_deleted: bool
    is_replaced: bool  # an edited one took its place
    source: str = ""
    verdict: str = ""
    by_person: bool = False
    gap: float | None = None
    teacher: float | None = None
    student: float | None = None
    decision: str = ""
    state: str = ""


@dataclass(frozen=True)
class BrowserPage:
    """`is_about`: the count is the planner's estimate, for counting them would read them all."""

    rows: tuple[BrowserRow, ...]
    count: int
    is_about: bool
    next: str
    previous: str


def browser_page(state: BrowserState, scope: Scope) -> BrowserPage:
    query = query_of(state, scope)
    cursor, backwards = _parsed(state.before or state.after, state.key), bool(state.before)
    found = _read(query, state, scope, cursor, backwards)
    more, found = len(found) > PAGE_SIZE, found[:PAGE_SIZE]
    keys = [key for key, _ in found][:: -1 if backwards else 1]
    rows = tuple(row for _, row in found)[:: -1 if backwards else 1]
    has_next, has_previous = (bool(rows), more) if backwards else (more, cursor is not None and bool(rows))
    whole = cursor is None and not more
    count, is_about = (len(rows), False) if whole else count_of(query, scope, is_filtered=state.is_filtered)
    return BrowserPage(
        rows=rows,
        count=count,
        is_about=is_about,
        next=state.query(after=_cursor(rows[-1], keys[-1]), before="") if has_next else "",
        previous=state.query(before=_cursor(rows[0], keys[0]), after="") if has_previous else "",
    )


def matching_ids(state: BrowserState, scope: Scope) -> Condition:
    """A query for the ids of all that match."""
    query = query_of(state, scope)
    return query.select(f"{query.identity} AS id")


def _read(
    query: Query, state: BrowserState, scope: Scope, cursor: tuple[Any, int] | None, backwards: bool
) -> list[tuple[Any, BrowserRow]]:
    """One row more than a page, in the order of reading."""
    reverse = state.descending != backwards
    ranges = beyond(query, cursor, reverse=reverse) if cursor else [Condition("true")]
    found: list[tuple[Any, BrowserRow]] = []
    for part in ranges:
        if len(found) <= PAGE_SIZE:
            found += _rows(query, scope, part, reverse, PAGE_SIZE + 1 - len(found))
    return found


def _rows(query: Query, scope: Scope, part: Condition, reverse: bool, limit: int) -> Iterator[tuple[Any, BrowserRow]]:
    way = " DESC" if reverse else ""
    names = [query.key] if query.key == KEYS["position"] else [name for name in (query.key, query.identity) if name]
    order = " ORDER BY " + ", ".join(name + way for name in names)
    chosen = query.select(f"{query.identity} AS id, {query.key or 'NULL'} AS key", part, tail=f"{order} LIMIT {limit}")
    shown = _decorated(chosen, scope)
    with connection.cursor() as database:
        database.execute(shown.sql, shown.values)
        for _, key, *values in sorted(database.fetchall(), key=lambda row: row[0]):
            yield key, BrowserRow(*values)


def _decorated(chosen: Condition, scope: Scope) -> Condition:
    """The page's rows, chosen first by their keys alone, with all that the columns show."""
    columns = [
        "page.number", "page.key", "i.id", f"left(i.text, {PREVIEW})", f"left(i.input, {INPUT_PREVIEW})", "i.language",
        "i.category", "i.length", "i.created_at", "i.deleted_at IS NOT NULL",
        "EXISTS (SELECT 1 FROM lionweb_instruction n WHERE n.edited_from_id = i.id AND n.deleted_at IS NULL)",
    ]  # fmt: skip
    sql = "JOIN lionweb_instruction i ON i.id = page.id"
    values = list(chosen.values)
    if scope.experiment:
        columns.append(
            "coalesce((SELECT m.source FROM lionweb_membership m WHERE m.experiment_id = %s AND m.instruction_id = i.id "
            "AND m.approval = %s ORDER BY m.since LIMIT 1), '')"
        )
        values += [scope.experiment.pk, Approval.APPROVED.value]
    if scope.checkpoint and scope.iteration:
        columns += ["coalesce(c.verdict, '')", "c.person_verdict IS NOT NULL", "c.gap", "c.score_teacher"]
        columns += ["c.score_student", "coalesce(c.person_kind, '')", "coalesce(c.review_state, '')"]
        sql += " LEFT JOIN lionweb_classification c ON c.instruction_id = i.id AND c.iteration_id = %s AND c.checkpoint_id = %s"
        values += [scope.iteration.pk, scope.checkpoint.pk]
    inner = (
        f"WITH chosen AS MATERIALIZED ({chosen.sql}), page AS (SELECT *, row_number() OVER () AS number FROM chosen)"
    )
    return Condition(f"{inner} SELECT {', '.join(columns)} FROM page {sql}", values)


def count_of(query: Query, scope: Scope, *, is_filtered: bool) -> tuple[int, bool]:
    """How many match, and whether that is an estimate: what the planner expects, unless few match and soon counted."""
    asked = query.select("1")
    name = "browser-count-" + hashlib.sha256(json.dumps([asked.sql, asked.values]).encode()).hexdigest()
    kept = cache.get(name)
    if kept is not None:
        return int(kept), True
    estimate = scope.pool.rows if scope.pool and not scope.experiment and not is_filtered else _estimate(asked)
    surely = "phraseto_tsquery" not in asked.sql  # the planner knows how common words are, and nothing of their order
    exact = None if surely and estimate > HOPELESS else _exact(asked)
    if exact is not None and exact <= COUNTED:
        return exact, False
    estimate = max(estimate, COUNTED, exact or 0)
    cache.set(name, estimate, _ESTIMATES_KEPT_SECONDS)
    return estimate, True


def _estimate(asked: Condition) -> int:
    with connection.cursor() as database:
        database.execute(f"EXPLAIN (FORMAT JSON) {asked.sql}", asked.values)
        return _rounded(int(database.fetchone()[0][0]["Plan"]["Plan Rows"]))


def _exact(asked: Condition) -> int | None:
    """The count up to one more than COUNTED; None where it takes too long."""
    try:
        with transaction.atomic(), connection.cursor() as database:
            database.execute(f"SET LOCAL statement_timeout = {MOST_COUNTING_MILLISECONDS}")
            database.execute(f"SELECT count(*) FROM ({asked.sql} LIMIT {COUNTED + 1}) AS few", asked.values)
            found = int(database.fetchone()[0])
            database.execute(
                "SET LOCAL statement_timeout = DEFAULT"
            )  # the caller's transaction goes on in its own time
            return found
    except OperationalError as error:
        if isinstance(error.__cause__, QueryCanceled):
            return None
        raise


def _rounded(count: int) -> int:
    """Two digits that count: an estimate deserves no more."""
    step = 10 ** max(0, len(str(count)) - 2)
    return round(count / step) * step


def _cursor(row: BrowserRow, key: Any) -> str:
    return f"{row.id}:{'' if key is None else key}"


def _parsed(cursor: str, key: str) -> tuple[Any, int] | None:
    """None for the first page, and for a cursor that someone spoilt."""
    pk, _, value = cursor.partition(":")
    if not pk.isdecimal() or len(pk) > 18:
        return None
    if key not in _WHOLE_KEYS | NULLABLE:
        return value, int(pk)
    if key in NULLABLE and not value:
        return None, int(pk)
    try:
        number = float(value) if key in NULLABLE else int(value)
    except ValueError:
        return None
    return (number, int(pk)) if abs(number) < 2**31 else None  # False for what is no number
