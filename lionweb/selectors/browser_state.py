"""What the URL of the pool browser says: search, scope, filters, columns, order and place."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from distill.records import Verdict
from lionweb.models import OPINIONS, DecisionKind, MemberPool, MemberSource, ReviewState
from lionweb.selectors.scope import Scope, scope_of

SORTS = ("id", "text", "category", "language", "length", "position", "gap", "teacher", "student")
JUDGED_SORTS = frozenset({"gap", "teacher", "student"})
COLUMNS = {
    "number": "Number",
    "category": "Category",
    "language": "Language",
    "length": "Characters",
    "added": "Added",
    "source": "Source",
    "verdict": "Verdict",
    "gap": "Gap",
    "teacher": "Teacher",
    "student": "Student",
    "decision": "Decision",
    "state": "Review",
}
USUAL_COLUMNS = ("category", "language", "length", "source", "verdict", "gap")
MEMBER_COLUMNS = frozenset({"source"})
JUDGED_COLUMNS = frozenset({"verdict", "gap", "teacher", "student", "decision", "state"})
DECISIONS = {"any": "decided", "none": "not decided"} | {
    kind.value: str(kind.label) for kind in DecisionKind if kind in OPINIONS
}
DELETED = {"only": "deleted ones only", "with": "deleted ones too"}
_JUDGED_CHOICES = ("verdict", "decision", "review")
_JUDGED_NUMBERS = ("reviewer", "gap_from", "gap_to", "teacher_from", "teacher_to", "student_from", "student_to")
_JUDGED_FILTERS = _JUDGED_CHOICES + _JUDGED_NUMBERS
_WORDS = ("q", "category", "language")
_WHOLE = ("pool", "experiment", "iteration", "reviewer", "length_from", "length_to")
_NUMBERS = ("gap_from", "gap_to", "teacher_from", "teacher_to", "student_from", "student_to")
_LONGEST_NUMBER = 9


@dataclass(frozen=True)
class BrowserState:
    """`after` and `before` are cursors: "ID:value of the sort key". `cols` "" means the usual columns."""

    q: str = ""
    pool: int | None = None
    experiment: int | None = None
    member: str = ""
    iteration: int | None = None
    verdict: str = ""
    decision: str = ""
    review: str = ""
    reviewer: int | None = None
    source: str = ""
    category: str = ""
    language: str = ""
    length_from: int | None = None
    length_to: int | None = None
    gap_from: float | None = None
    gap_to: float | None = None
    teacher_from: float | None = None
    teacher_to: float | None = None
    student_from: float | None = None
    student_to: float | None = None
    deleted: str = ""
    cols: str = ""
    sort: str = ""
    after: str = ""
    before: str = ""

    def query(self, **changes: Any) -> str:
        """The URL's query with some of it changed and nothing empty in it."""
        values = {**self._said, **changes} if changes else self._said
        return urlencode({name: _short(value) for name, value in values.items() if value not in ("", None)})

    @cached_property
    def _said(self) -> dict[str, Any]:
        """What is not empty, in the order of the fields; a page has a dozen links made of it."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value not in ("", None)}

    @property
    def place(self) -> "BrowserState":
        """The same scope, order and columns without search, filters and page."""
        kept = ("pool", "experiment", "member", "iteration", "sort", "cols")
        return BrowserState(**{name: getattr(self, name) for name in kept})

    @property
    def is_filtered(self) -> bool:
        return replace(self, after="", before="") != self.place

    @property
    def is_judged(self) -> bool:
        """Whether only judged instructions can match."""
        return self.key in JUDGED_SORTS or any(getattr(self, name) not in ("", None) for name in _JUDGED_FILTERS)

    @property
    def more_filters(self) -> int:
        """How many of the filters that stand folded away are in use."""
        names = (*_NUMBERS, "length_from", "length_to", "decision", "review", "reviewer", "deleted")
        return sum(getattr(self, name) not in ("", None) for name in names)

    @property
    def key(self) -> str:
        return self.sort.removeprefix("-")

    @property
    def descending(self) -> bool:
        return self.sort.startswith("-")

    def columns(self, scope: Scope) -> tuple[str, ...]:
        chosen = [name for name in self.cols.split(",") if name in COLUMNS] or list(USUAL_COLUMNS)
        return tuple(name for name in COLUMNS if name in chosen and name in offered_columns(scope))


def offered_columns(scope: Scope) -> dict[str, str]:
    absent = frozenset() if scope.experiment else MEMBER_COLUMNS
    absent |= frozenset() if scope.checkpoint else JUDGED_COLUMNS
    return {name: title for name, title in COLUMNS.items() if name not in absent}


def state_of(said: Mapping[str, str]) -> BrowserState:
    """A word that means nothing is passed over. Raises ValueError for a number that is none."""
    given: dict[str, Any] = {name: said.get(name, "").replace("\0", "").strip() for name in _WORDS}
    given |= {name: said.get(name, "").replace("\0", "") for name in ("after", "before")}  # blanks may be part of a key
    given |= {name: _whole_number(said, name) for name in _WHOLE}
    given |= {name: _number(said, name) for name in _NUMBERS}
    return BrowserState(
        **given,
        member=_one_of(said, "member", MemberPool.values),
        verdict=_one_of(said, "verdict", [one.value for one in Verdict]),
        decision=_one_of(said, "decision", list(DECISIONS)),
        review=_one_of(said, "review", [state for state in ReviewState.values if state]),
        source=_one_of(said, "source", MemberSource.values),
        deleted=_one_of(said, "deleted", list(DELETED)),
        cols=",".join(name for name in said.get("cols", "").split(",") if name in COLUMNS),
        sort=_one_of(said, "sort", [*SORTS, *(f"-{name}" for name in SORTS)]),
    )


def fitted(state: BrowserState, scope: Scope) -> BrowserState:
    """Without what does not apply to the scope: verdicts need a checkpoint, the file's order a pool."""
    if not scope.experiment:
        state = replace(state, member="", iteration=None, source="")
    if not scope.checkpoint:
        nothing: dict[str, Any] = dict.fromkeys(_JUDGED_CHOICES, "") | dict.fromkeys(_JUDGED_NUMBERS)
        state = replace(state, **nothing)
    first = "position" if scope.pool else "id"
    fits = {"position": bool(scope.pool)}.get(state.key, bool(scope.checkpoint) or state.key not in JUDGED_SORTS)
    return state if state.key and fits else replace(state, sort=first)


def state_and_scope(said: Mapping[str, str]) -> tuple[BrowserState, Scope]:
    """Fitted to each other. Raises ValueError for what cannot be asked, ObjectDoesNotExist for what is not there."""
    state = state_of(said)
    scope = scope_of(pool=state.pool, experiment=state.experiment, iteration=state.iteration)
    return fitted(state, scope), scope


def _one_of(said: Mapping[str, str], name: str, known: Sequence[str]) -> str:
    value = said.get(name, "")
    return value if value in known else ""


def _whole_number(said: Mapping[str, str], name: str) -> int | None:
    value = said.get(name, "").strip()
    if not value:
        return None
    if not value.isdecimal() or len(value) > _LONGEST_NUMBER:
        raise ValueError(f"{name} must be a number.")
    return int(value)


def _number(said: Mapping[str, str], name: str) -> float | None:
    value = said.get(name, "").strip()
    try:
        number = float(value) if value else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise ValueError(f"{name} must be a number.")
    return number


def _short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
