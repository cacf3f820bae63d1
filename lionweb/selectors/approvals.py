"""What the page of the approval gate shows: one page of new instructions with all that a person needs to decide."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet, Value
from django.db.models.expressions import OrderBy
from django.db.models.fields.tuple_lookups import TupleGreaterThan, TupleLessThan
from django.db.models.functions import Coalesce, Left

from distill.records import Instruction as Text
from distill.tokenisation import tokenise
from lionweb.models import (
    Approval,
    Candidate,
    Instruction,
    LeakHit,
    MemberPool,
    Membership,
    Stage,
    StageKind,
)
from lionweb.selectors.approval_state import DROPPED, SHOWN, ApprovalState, filtered

PAGE_SIZE = 20
PREVIEW = 400
POOLS = {"cache": "Cache Pool", "heldout": "Held-out", "new": "New too"}
KEYS = {
    "similarity": (Coalesce("similarity", Value(0.0)), True),
    "newest": (F("candidate_id"), True),
    "longest": (F("instruction__length"), True),
    "shortest": (F("instruction__length"), False),
}
"""What each order sorts by, and whether the highest stands first."""


@dataclass(frozen=True)
class ShownNeighbour:
    id: int
    where: str
    score: float
    text: str


@dataclass(frozen=True)
class ApprovalItem:
    row: Membership
    neighbours: tuple[ShownNeighbour, ...]
    leaks: tuple[LeakHit, ...]
    threshold: float

    @property
    def candidate(self) -> Candidate:
        assert self.row.candidate is not None
        return self.row.candidate

    @property
    def is_edited(self) -> bool:
        return self.row.instruction_id != self.candidate.instruction_id

    @property
    def status(self) -> str:
        return "waiting" if self.row.approval == Approval.PENDING else self.row.approval

    @property
    def seen(self) -> int:
        return self.row.action_id or 0

    @property
    def words(self) -> int:
        """As the novelty check counts them; in a script without blanks every character."""
        return len(tokenise(Text(self.row.instruction.text, self.row.instruction.input).prompt))


@dataclass(frozen=True)
class ApprovalPage:
    stage: Stage
    state: ApprovalState
    counts: dict[str, int]
    items: tuple[ApprovalItem, ...]
    dropped: tuple[Candidate, ...]
    reasons: tuple[tuple[str, int], ...]  # of the dropped ones
    matching: int
    matching_open: int
    next: str
    previous: str


def approval_stage(experiment: int, number: int) -> Stage:
    """Raises Stage.DoesNotExist."""
    found = Stage.objects.select_related("iteration__experiment")
    return found.get(iteration__experiment=experiment, iteration__number=number, kind=StageKind.APPROVE)


def asked(stage: Stage) -> QuerySet[Membership]:
    """The new instructions that people are asked about, in the Cache Pool; the sample passed over the others."""
    rows = Membership.objects.filter(
        experiment=stage.iteration.experiment_id,
        since=stage.iteration.number + 1,
        pool=MemberPool.CACHE,
        candidate__isnull=False,
    )
    return rows.filter(Q(approval=Approval.PENDING) | Q(decided_at__isnull=False))


def approval_page(stage: Stage, state: ApprovalState) -> ApprovalPage:
    rows = asked(stage)
    counts = _counts(stage, rows)
    shown: dict[str, Any] = {"items": (), "dropped": (), "reasons": ()}
    if state.show == DROPPED:
        reasons = _dropped(stage).order_by().values_list("rejected").annotate(n=Count("pk")).order_by("-n", "rejected")
        found = _dropped(stage).filter(**({"rejected": state.reason} if state.reason else {}))
        page, following, previous = _slice(found, state, F("pk"), highest_first=False)
        shown |= {"reasons": tuple(reasons), "dropped": tuple(page)}
        matching, matching_open = found.count(), 0
    else:
        found_rows = filtered(rows, state)
        matching, matching_open = _matching(found_rows, state, counts)
        key, highest_first = KEYS[state.sort]
        keys, following, previous = _slice(found_rows, state, key, highest_first=highest_first)
        page = _with_related(keys)
        shown |= {"items": tuple(_items(stage, page))}
    return ApprovalPage(
        stage=stage,
        state=state,
        counts=counts,
        matching=matching,
        matching_open=matching_open,
        next=following,
        previous=previous,
        **shown,
    )


def approval_item(stage: Stage, candidate: int) -> ApprovalItem:
    """Raises Membership.DoesNotExist where nobody is asked about this candidate."""
    return next(iter(_items(stage, [_related(asked(stage)).get(candidate=candidate)])))


def open_counts(stage: Stage) -> dict[str, int]:
    return _counts(stage, asked(stage))


def _counts(stage: Stage, rows: QuerySet[Membership]) -> dict[str, int]:
    names = {name: Count("pk", filter=where) if where else Count("pk") for name, where in SHOWN.items()}
    return rows.order_by().aggregate(**names) | {DROPPED: _dropped(stage).count()}


def _dropped(stage: Stage) -> QuerySet[Candidate]:
    """What the filters dropped and nobody took in."""
    found = Candidate.objects.filter(iteration=stage.iteration_id, judged=True, instruction__isnull=True)
    return found.exclude(rejected="").select_related("parent")


def _matching(rows: QuerySet[Membership], state: ApprovalState, counts: dict[str, int]) -> tuple[int, int]:
    """How many rows the filters leave, and how many of them are open; without filters these are counted already."""
    if not state.is_filtered and state.show in ("open", "all"):
        return counts[state.show], counts["open"]
    totals = rows.order_by().aggregate(all=Count("pk"), open=Count("pk", filter=SHOWN["open"]))
    return totals["all"], totals["open"]


def _related(rows: QuerySet[Membership]) -> QuerySet[Membership]:
    return rows.select_related("instruction", "candidate__instruction", "parent", "decided_by", "action")


def _with_related(rows: Sequence[Membership]) -> list[Membership]:
    """Texts are fetched for the rows of the page alone: sorting thousands of rows with them costs most of the time."""
    found = _related(Membership.objects.all()).in_bulk([row.pk for row in rows])
    return [found[row.pk] for row in rows if row.pk in found]


def _slice(found: QuerySet[Any], state: ApprovalState, key: Any, *, highest_first: bool) -> tuple[list[Any], str, str]:
    """One page by keys, and the queries of the next and the previous one."""
    backwards = bool(state.before)
    reverse = highest_first != backwards
    found = found.annotate(key_value=key)
    cursor = _parsed(state.before or state.after)
    if cursor:
        compare = TupleLessThan if reverse else TupleGreaterThan
        found = found.filter(compare((F("key_value"), F("pk")), cursor))
    order = [OrderBy(F("key_value"), descending=reverse), OrderBy(F("pk"), descending=reverse)]
    narrow = found if found.model is Candidate else found.only("pk")
    rows = list(narrow.order_by(*order)[: PAGE_SIZE + 1])
    more, rows = len(rows) > PAGE_SIZE, rows[:PAGE_SIZE]
    if backwards:
        rows = rows[::-1]
    has_next, has_previous = (bool(rows), more) if backwards else (more, cursor is not None and bool(rows))
    return (
        rows,
        state.query(after=_cursor(rows[-1]), before="") if has_next else "",
        state.query(before=_cursor(rows[0]), after="") if has_previous else "",
    )


def _cursor(row: Any) -> str:
    return f"{row.pk}:{row.key_value!r}"


def _parsed(cursor: str) -> tuple[float, int] | None:
    """None for the first page, and for a cursor that someone spoilt."""
    pk, _, value = cursor.partition(":")
    try:
        return (float(value), int(pk)) if len(pk) < 19 and abs(float(value)) < 1e18 else None
    except ValueError:
        return None


def _items(stage: Stage, rows: Sequence[Membership]) -> list[ApprovalItem]:
    threshold = stage.iteration.experiment.settings.generator.novelty_threshold
    near = {row.pk: _noted(row) for row in rows}
    texts = _texts({one["id"] for many in near.values() for one in many})
    hits = leaks_of([row.instruction_id for row in rows])
    return [
        ApprovalItem(
            row=row,
            neighbours=tuple(
                ShownNeighbour(one["id"], POOLS[one["pool"]], one["score"], texts.get(one["id"], ""))
                for one in near[row.pk]
            ),
            leaks=hits.get(row.instruction_id, ()),
            threshold=threshold,
        )
        for row in rows
    ]


def _noted(row: Membership) -> list[dict[str, Any]]:
    noted = row.candidate.neighbours if row.candidate else None
    found: list[dict[str, Any]] = (noted or {}).get(str(row.instruction_id), [])
    return found


def _texts(ids: set[int]) -> dict[int, str]:
    rows = Instruction.objects.filter(pk__in=ids).values_list("pk", Left("text", PREVIEW), Left("input", PREVIEW))
    return {pk: Text(text, given).prompt for pk, text, given in rows}


def leaks_of(instructions: Sequence[int]) -> dict[int, tuple[LeakHit, ...]]:
    """What each instruction overlaps with, the clearest first."""
    found: dict[int, list[LeakHit]] = defaultdict(list)
    hits = LeakHit.objects.filter(instruction__in=instructions).select_related("item__set")
    for hit in hits.order_by("-score", "pk"):
        found[hit.instruction_id].append(hit)
    return {pk: tuple(many) for pk, many in found.items()}
