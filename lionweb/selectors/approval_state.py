"""What the URL of the approval page says: filters, order and place in the list."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import F, Q, QuerySet

from distill.records import Difficulty
from lionweb.models import Approval, Membership
from lionweb.services.leaks import is_leaked

SHOWN = {
    "open": Q(approval=Approval.PENDING),
    "approved": Q(approval=Approval.APPROVED),
    "rejected": Q(approval=Approval.REJECTED),
    "edited": ~Q(instruction=F("candidate__instruction")),
    "all": Q(),
}
DROPPED = "dropped"
SORTS = {
    "similarity": "Most similar first",
    "newest": "Newest first",
    "longest": "Longest first",
    "shortest": "Shortest first",
}
LEAKS = {"yes": "Overlaps with a benchmark", "no": "No overlap"}
LONGEST_SEARCH = 200


@dataclass(frozen=True)
class ApprovalState:
    """`after` and `before` are cursors: "ID:value of the sort key"."""

    show: str = "open"
    kind: str = ""
    leak: str = ""
    low: float | None = None  # ROUGE-L F with the nearest other one
    high: float | None = None
    shortest: int | None = None  # characters
    longest: int | None = None
    q: str = ""
    reason: str = ""  # of the dropped ones
    sort: str = "similarity"
    after: str = ""
    before: str = ""

    def query(self, **changes: Any) -> str:
        """The URL's query with some of it changed, and nothing in it that is empty or usual."""
        changed = replace(self, **changes)
        usual = {one.name: one.default for one in fields(changed)}
        values = {name: getattr(changed, name) for name in usual}
        return urlencode({name: value for name, value in values.items() if value not in ("", None, usual[name])})

    @property
    def rule(self) -> dict[str, Any]:
        """The filters alone, as they are written into the audit log."""
        names = ("show", "kind", "leak", "low", "high", "shortest", "longest", "q")
        return {name: value for name in names if (value := getattr(self, name)) not in ("", None)}

    @property
    def is_filtered(self) -> bool:
        return len(self.rule) > 1


def state_of(given: Mapping[str, str]) -> ApprovalState:
    """Whatever in a query means nothing is passed over."""

    def one_of(name: str, known: Mapping[str, Any] | list[str], usual: str = "") -> str:
        return value if (value := given.get(name, "")) in known else usual

    return ApprovalState(
        show=one_of("show", [*SHOWN, DROPPED], "open"),
        kind=one_of("kind", [kind.value for kind in Difficulty]),
        leak=one_of("leak", LEAKS),
        low=_share(given.get("low", "")),
        high=_share(given.get("high", "")),
        shortest=_count(given.get("shortest", "")),
        longest=_count(given.get("longest", "")),
        q=given.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH],
        reason=given.get("reason", "").replace("\0", "")[:40],
        sort=one_of("sort", SORTS, "similarity"),
        after=given.get("after", ""),
        before=given.get("before", ""),
    )


def filtered(rows: QuerySet[Membership], state: ApprovalState) -> QuerySet[Membership]:
    found = rows.filter(SHOWN.get(state.show, Q()))
    if state.kind:
        found = found.filter(source=state.kind)
    if state.leak:
        found = found.filter(is_leaked() if state.leak == "yes" else ~is_leaked())
    ranges = {
        "similarity__gte": state.low,
        "similarity__lte": state.high,
        "instruction__length__gte": state.shortest,
        "instruction__length__lte": state.longest,
    }
    found = found.filter(**{name: value for name, value in ranges.items() if value is not None})
    if state.q:
        found = found.filter(Q(instruction__text__icontains=state.q) | Q(instruction__input__icontains=state.q))
    return found


def _share(value: str) -> float | None:
    try:
        share = float(value)
    except ValueError:
        return None
    return share if 0 <= share <= 1 else None


def _count(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdecimal() and len(value) < 9 else None
