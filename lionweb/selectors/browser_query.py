"""The pool browser's question to the database, written so that an index gives the rows in their order.

Tables: i the instruction, w its words, e its entry in the imported pool, c its classification, m the experiment's members.
"""

from dataclasses import dataclass
from typing import Any

from lionweb.models import Approval, MemberPool
from lionweb.models.instruction import TEXT_KEY
from lionweb.selectors.browser_state import BrowserState
from lionweb.selectors.instruction_search import Condition, matching
from lionweb.selectors.scope import Scope

KEYS = {
    "text": f"left(i.text, {TEXT_KEY})",
    "category": "i.category",
    "language": "i.language",
    "length": "i.length",
    "position": "e.position",
    "gap": "c.gap",
    "teacher": "c.score_teacher",
    "student": "c.score_student",
}
NULLABLE = frozenset({"gap", "teacher", "student"})
_RANGES = {
    "length": "i.length",
    "gap": "c.gap",
    "teacher": "c.score_teacher",
    "student": "c.score_student",
}


@dataclass(frozen=True)
class Query:
    """`identity` breaks ties of `key`, in the column that the index of the key goes on with; no key: it alone orders."""

    source: Condition
    where: tuple[Condition, ...]
    identity: str
    key: str = ""
    nullable: bool = False

    def select(self, columns: str, *more: Condition, tail: str = "") -> Condition:
        conditions = [*self.where, *more]
        where = " AND ".join(one.sql for one in conditions)
        values = [value for one in (self.source, *conditions) for value in one.values]
        return Condition(f"SELECT {columns} FROM {self.source.sql} WHERE {where or 'true'}{tail}", values)


def query_of(state: BrowserState, scope: Scope) -> Query:
    """`state` must be fitted to the scope."""
    judged = bool(scope.checkpoint) and state.is_judged
    narrowed = state.q or state.category or state.language or state.length_from or state.length_to
    by_member = bool(scope.experiment) and not (judged or scope.pool or narrowed) and state.key == "id"
    conditions = [*_scope_conditions(state, scope, judged, by_member), *_filters(state)]
    key = KEYS.get(state.key, "")
    return Query(
        source=_source(state, scope, judged, by_member),
        where=tuple(conditions),
        identity=_identity(key, scope, judged, by_member),
        key=key,
        nullable=state.key in NULLABLE,
    )


def _source(state: BrowserState, scope: Scope, judged: bool, by_member: bool) -> Condition:
    if by_member:  # walks the index of members, each once however many pools it is in
        members = _memberships(state, scope)
        inner = f"SELECT DISTINCT m.instruction_id FROM lionweb_membership m WHERE {members.sql}"
        return Condition(f"({inner}) m JOIN lionweb_instruction i ON i.id = m.instruction_id", members.values)
    sql = "lionweb_instruction i"
    sql += " JOIN lionweb_poolentry e ON e.instruction_id = i.id" if scope.pool else ""
    sql += " JOIN lionweb_classification c ON c.instruction_id = i.id" if judged else ""
    sql += " JOIN lionweb_instructionwords w ON w.instruction_id = i.id" if state.q.strip() else ""
    return Condition(sql)


def _identity(key: str, scope: Scope, judged: bool, by_member: bool) -> str:
    if key.startswith("i."):
        return "i.id"
    if key.startswith("c.") or (judged and not key):
        return "c.instruction_id"
    if by_member:
        return "m.instruction_id"
    return "e.instruction_id" if scope.pool and not key else "i.id"


def _scope_conditions(state: BrowserState, scope: Scope, judged: bool, by_member: bool) -> list[Condition]:
    found = []
    if scope.pool:
        found.append(Condition("e.pool_id = %s", [scope.pool.pk]))
    if judged:
        assert scope.iteration and scope.checkpoint
        found.append(
            Condition("c.iteration_id = %s AND c.checkpoint_id = %s", [scope.iteration.pk, scope.checkpoint.pk])
        )
    if scope.experiment and not by_member and (not judged or state.member or state.source):
        members = _memberships(state, scope)
        sql = f"EXISTS (SELECT 1 FROM lionweb_membership m WHERE m.instruction_id = i.id AND {members.sql})"
        found.append(Condition(sql, members.values))
    return found


def _memberships(state: BrowserState, scope: Scope) -> Condition:
    """Approved members of the pool asked for, as it was in the iteration."""
    assert scope.experiment
    number = scope.iteration.number if scope.iteration else 1
    sql, values = "m.experiment_id = %s AND m.approval = %s", [scope.experiment.pk, Approval.APPROVED.value]
    sql += " AND (m.until IS NULL OR m.until >= %s)"
    values.append(number)
    if state.member:
        sql += " AND m.pool = %s"
        values.append(state.member)
    if state.member in (MemberPool.TRAIN, MemberPool.CACHE):
        sql += f" AND m.since {'=' if state.member == MemberPool.TRAIN else '<='} %s"
        values.append(number)
    if state.source:
        sql += " AND m.source = %s"
        values.append(state.source)
    return Condition(sql, values)


def _filters(state: BrowserState) -> list[Condition]:
    found = [_deleted(state.deleted)] if state.deleted != "with" else []
    equal = {"i.category": state.category, "i.language": state.language, "c.verdict": state.verdict}
    equal |= {"c.review_state": state.review}
    found += [Condition(f"{column} = %s", [value]) for column, value in equal.items() if value]
    found += [one for one in (_decision(state.decision), _reviewer(state.reviewer)) if one]
    for name, column in _RANGES.items():
        low, high = getattr(state, f"{name}_from"), getattr(state, f"{name}_to")
        found += [Condition(f"{column} >= %s", [low])] if low is not None else []
        found += [Condition(f"{column} <= %s", [high])] if high is not None else []
    words = matching(state.q)
    return [*found, words] if words else found


def _deleted(which: str) -> Condition:
    return Condition("i.deleted_at IS NOT NULL" if which == "only" else "i.deleted_at IS NULL")


def _decision(which: str) -> Condition | None:
    if not which:
        return None
    if which in ("any", "none"):
        return Condition(f"c.person_at IS {'NOT ' if which == 'any' else ''}NULL")
    return Condition("c.person_at IS NOT NULL AND c.person_kind = %s", [which])


def _reviewer(pk: int | None) -> Condition | None:
    if pk is None:
        return None
    sql = "SELECT d.classification_id FROM lionweb_decision d WHERE d.person_id = %s AND d.undone_at IS NULL"
    return Condition(f"c.id IN ({sql})", [pk])


def beyond(query: Query, cursor: tuple[Any, int], *, reverse: bool) -> list[Condition]:
    """The rows on the far side of the cursor, as ranges of the index, in the order in which they are to be read.

    Empty values stand last upwards and first downwards, as in the index.
    """
    value, pk = cursor
    side = "<" if reverse else ">"
    if not query.key:
        return [Condition(f"{query.identity} {side} %s", [pk])]
    if query.key == KEYS["position"]:  # unique in its pool, so the index needs no second column
        return [Condition(f"{query.key} {side} %s", [value])]
    if value is None:
        rest = Condition(f"{query.key} IS NULL AND {query.identity} {side} %s", [pk])
        return [rest, Condition(f"{query.key} IS NOT NULL")] if reverse else [rest]
    further = Condition(f"({query.key}, {query.identity}) {side} (%s, %s)", [value, pk])
    return [further, Condition(f"{query.key} IS NULL")] if query.nullable and not reverse else [further]
