"""What the pool browser shows: one page of instructions, by keys instead of offsets, so that deep pages cost no more."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import F, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.fields.tuple_lookups import TupleGreaterThan, TupleLessThan
from django.db.models.functions import Left

from distill.records import Verdict
from lionweb.models import Classification, Instruction, MemberSource
from lionweb.selectors.instruction_search import matching
from lionweb.selectors.scope import Scope, members, sources_of

PAGE_SIZE = 50
COUNTED = 10_000
PREVIEW, INPUT_PREVIEW = 420, 200
SORTS = {"id": "pk", "length": "length", "category": "category", "position": "position", "gap": "gap"}
UNIQUE = ("pk", "position")


@dataclass(frozen=True)
class BrowserState:
    """What the URL of the browser says. `after` and `before` are cursors: "ID:value of the sort key"."""

    q: str = ""
    pool: int | None = None
    experiment: int | None = None
    member: str = ""
    iteration: int | None = None
    verdict: str = ""
    source: str = ""
    category: str = ""
    language: str = ""
    sort: str = ""
    after: str = ""
    before: str = ""

    def query(self, **changes: Any) -> str:
        """The URL's query with some of it changed and nothing empty in it."""
        changed = replace(self, **changes)
        values = {one.name: getattr(changed, one.name) for one in fields(changed)}
        return urlencode({name: value for name, value in values.items() if value not in ("", None)})

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.category or self.language or self.verdict or self.source)


@dataclass(frozen=True)
class BrowserRow:
    id: int
    text: str
    input: str
    is_cut: bool
    language: str
    category: str
    length: int
    source: str = ""
    verdict: str = ""
    by_person: bool = False
    gap: float | None = None


@dataclass(frozen=True)
class BrowserPage:
    rows: tuple[BrowserRow, ...]
    count: int
    more_than_counted: bool
    next: str
    previous: str


def browser_page(state: BrowserState, scope: Scope) -> BrowserPage:
    found = _filtered(state, scope)
    count = found.order_by().values("pk")[: COUNTED + 1].count()
    rows, has_next, has_previous = _slice(found, state)
    return BrowserPage(
        rows=tuple(_rows(rows, scope)),
        count=min(count, COUNTED),
        more_than_counted=count > COUNTED,
        next=state.query(after=_cursor(rows[-1]), before="") if has_next else "",
        previous=state.query(before=_cursor(rows[0]), after="") if has_previous else "",
    )


def _filtered(state: BrowserState, scope: Scope) -> QuerySet[Instruction]:
    found = members(Instruction.objects.all(), scope, source=state.source)
    if state.category:
        found = found.filter(category=state.category)
    if state.language:
        found = found.filter(language=state.language)
    if state.verdict or state.sort.removeprefix("-") == "gap":
        wanted = [state.verdict] if state.verdict else list(Verdict)
        found = found.annotate(gap=F("seen__gap"), verdict=F("seen__verdict")).filter(verdict__in=wanted)
    return matching(found, state.q)


def _slice(found: QuerySet[Instruction], state: BrowserState) -> tuple[list[dict[str, Any]], bool, bool]:
    """The rows of the page, and whether there are rows after and before it."""
    key, descending = SORTS[state.sort.removeprefix("-")], state.sort.startswith("-")
    backwards = bool(state.before)
    cursor = _parsed(state.before or state.after, key)
    reverse = descending != backwards
    if cursor:
        found = found.filter(_beyond(key, cursor, reverse))
    names = [key] if key in UNIQUE else [key, "pk"]
    order = [OrderBy(F(name), descending=reverse) for name in names]
    shown = found.order_by(*order).values("pk", "language", "category", "length", key_value=F(key))
    begun = shown.annotate(begin=Left("text", PREVIEW), input_begin=Left("input", INPUT_PREVIEW))
    rows: list[dict[str, Any]] = [dict(row) for row in begun[: PAGE_SIZE + 1]]
    more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    if backwards:
        return rows[::-1], bool(rows), more
    return rows, more, cursor is not None and bool(rows)


def _beyond(key: str, cursor: tuple[Any, int], reverse: bool) -> Any:
    """Rows on the far side of the cursor. Empty gaps stand last upwards and first downwards, as in the index."""
    value, pk = cursor
    if key == "pk":
        return Q(pk__lt=pk) if reverse else Q(pk__gt=pk)
    if key == SORTS["position"]:  # unique in its pool, so the index needs no second column
        return Q(**{f"{key}__{'lt' if reverse else 'gt'}": value})
    side = "pk__lt" if reverse else "pk__gt"
    if value is None:
        same = Q(**{f"{key}__isnull": True, side: pk})
        return same | Q(**{f"{key}__isnull": False}) if reverse else same
    compare = TupleLessThan if reverse else TupleGreaterThan
    further = compare((F(key), F("pk")), (value, pk))
    return Q(further) | Q(**{f"{key}__isnull": True}) if key == SORTS["gap"] and not reverse else further


def _cursor(row: dict[str, Any]) -> str:
    return f"{row['pk']}:{'' if row['key_value'] is None else row['key_value']}"


def _parsed(cursor: str, key: str) -> tuple[Any, int] | None:
    """None for the first page, and for a cursor that someone spoilt."""
    pk, _, value = cursor.partition(":")
    if not pk.isdecimal() or len(pk) > 18:
        return None
    if key == SORTS["category"]:
        return value, int(pk)
    if key == SORTS["gap"] and not value:
        return None, int(pk)
    try:
        return (float(value) if key == SORTS["gap"] else int(value)), int(pk)
    except ValueError:
        return None


def _rows(rows: Sequence[dict[str, Any]], scope: Scope) -> list[BrowserRow]:
    ids = [row["pk"] for row in rows]
    sources = {pk: MemberSource(name).label for pk, name in sources_of(scope, ids).items()}
    judged: dict[int, Classification] = {}
    if scope.checkpoint:
        seen = Classification.objects.filter(
            iteration=scope.iteration, checkpoint=scope.checkpoint, instruction__in=ids
        ).only("instruction_id", "verdict", "person_verdict", "gap")
        judged = {one.instruction_id: one for one in seen}
    return [_row(row, sources.get(row["pk"], ""), judged.get(row["pk"])) for row in rows]


def _row(row: dict[str, Any], source: str, judged: Classification | None) -> BrowserRow:
    return BrowserRow(
        id=row["pk"],
        text=row["begin"],
        input=row["input_begin"],
        is_cut=row["length"] > len(row["begin"]) + len(row["input_begin"]),
        language=row["language"],
        category=row["category"],
        length=row["length"],
        source=source,
        verdict=judged.verdict if judged else "",
        by_person=bool(judged and judged.person_verdict),
        gap=judged.gap if judged else None,
    )
