"""All that happened to one instruction: decisions, those taken back too, edits, labels, deletions, and what gates did with it."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q

from lionweb.audit_words import sentence
from lionweb.independence import readable, veiled
from lionweb.models import (
    AuditEvent,
    BulkAction,
    BulkItem,
    Candidate,
    Classification,
    Decision,
    Instruction,
    ItemState,
    Membership,
    Stage,
    StageKind,
    User,
)

MOST_ENTRIES = 200
DECIDED = ("verdict.decide", "verdict.take_back", "conflict.resolve")
"""Audited beside Decision rows, which say more."""
EDITED, LABELLED = "instruction.edit", "instruction.label"
GATES_CLOSED = tuple(f"gate.{kind}.close" for kind in (StageKind.REVIEW, StageKind.APPROVE))


@dataclass(frozen=True)
class HistoryEntry:
    """`who` is empty for the system. `said` is a person's own text. `instruction` is another one, which `what` ends with."""

    at: datetime
    who: str
    what: str
    said: str = ""
    where: str = ""
    is_undone: bool = False
    instruction: int | None = None


def history_of(instruction: Instruction, reader: User | None = None) -> tuple[HistoryEntry, ...]:
    """Oldest first. Without a `reader` nothing is left out; to one only `readable` decisions are shown."""
    judged = list(Classification.objects.filter(instruction=instruction).select_related("iteration__experiment"))
    said = _said(judged)
    entries = [
        _begun(instruction),
        *_decisions(judged, said, reader),
        *_edits(instruction),
        *_bulk_changes(instruction),
        *_audited(instruction, judged, said),
    ]
    return tuple(sorted(entries, key=lambda one: one.at)[-MOST_ENTRIES:])


def _begun(instruction: Instruction) -> HistoryEntry:
    if instruction.edited_from_id:
        who = instruction.edited_by.username if instruction.edited_by else ""
        what = "wrote it as an edit of instruction"
        return HistoryEntry(instruction.created_at, who, what, instruction=instruction.edited_from_id)
    return HistoryEntry(instruction.created_at, "", "It was stored.")


def _said(judged: Collection[Classification]) -> dict[int, list[Decision]]:
    """Decisions by item, of the items that have any."""
    found: dict[int, list[Decision]] = defaultdict(list)
    for row in Decision.objects.filter(classification__in=judged).select_related("person").order_by("pk"):
        found[row.classification_id].append(row)
    return found


def _decisions(
    judged: Collection[Classification], said: dict[int, list[Decision]], reader: User | None
) -> list[HistoryEntry]:
    hidden = veiled({one.iteration for one in judged}, reader) if reader else set()
    found = []
    for item in judged:
        rows = said.get(item.pk, [])
        for row in readable(rows, item, reader, hidden) if reader else rows:
            found += _decision(row, _where(item))
    return found


def _decision(row: Decision, where: str) -> list[HistoryEntry]:
    verb = "resolved the conflict as" if row.is_resolution else "decided"
    kind = row.get_kind_display().lower()
    what = {"flag": "asked for a second opinion", "skip": "skipped it"}.get(row.kind, f"{verb} {kind}")
    if row.corrected_response_id:
        what += ", with a corrected answer"
    made = HistoryEntry(row.created_at, row.person.username, what, row.comment, where, row.undone_at is not None)
    if row.undone_at is None:
        return [made]
    return [made, HistoryEntry(row.undone_at, row.person.username, f"took back: {kind}", "", where)]


def _where(item: Classification) -> str:
    return f"{item.iteration.experiment.name}, iteration {item.iteration.number}"


def _edits(instruction: Instruction) -> list[HistoryEntry]:
    what = "edited it into instruction"
    return [
        HistoryEntry(one.created_at, one.edited_by.username if one.edited_by else "", what, instruction=one.pk)
        for one in instruction.edits.select_related("edited_by").order_by("-pk")[:MOST_ENTRIES]
    ]


def _bulk_changes(instruction: Instruction) -> list[HistoryEntry]:
    """Changes of many instructions that took this one along; they are not audited one by one."""
    states = (ItemState.CHANGED, ItemState.UNDONE, ItemState.KEPT)
    items = BulkItem.objects.filter(instruction=instruction, state__in=states, at__isnull=False)
    last = items.select_related("job__actor", "job__pool").order_by("-id")[:MOST_ENTRIES]
    return [
        HistoryEntry(
            item.at or item.job.created_at,
            item.job.actor.username,
            _bulk_words(item) + _company(item.job.total - 1),
            is_undone=item.state == ItemState.UNDONE,
        )
        for item in reversed(last)
    ]


def _bulk_words(item: BulkItem) -> str:
    job = item.job
    if job.action == BulkAction.POOL:
        return f"added it to the pool {job.pool.name}" if job.pool else "added it to a pool"
    if job.action in (BulkAction.CATEGORY, BulkAction.LANGUAGE):
        return _set({job.action: item.before}, {job.action: job.value})
    return "deleted it" if job.action == BulkAction.DELETE else "restored it"


def _company(others: int) -> str:
    return f", with {others:,} other{'s' if others > 1 else ''}" if others > 0 else ""


def _set(before: dict[str, Any], after: dict[str, Any]) -> str:
    return "set " + " and ".join(f"the {name} from “{was}” to “{after.get(name, '')}”" for name, was in before.items())


def _audited(
    instruction: Instruction, judged: Collection[Classification], decided: Collection[int]
) -> list[HistoryEntry]:
    """Events of the instruction, of its classifications and candidates, and of the gates it passed."""
    items = {str(one.pk): _where(one) for one in judged}
    candidates = Candidate.objects.filter(instruction=instruction).values_list("pk", flat=True)
    members = Membership.objects.filter(instruction=instruction).values_list("pk", flat=True)[:MOST_ENTRIES]
    targets = {
        "instruction": [str(instruction.pk)],
        "classification": list(items),
        "candidate": [str(pk) for pk in candidates],
        "membership": [str(pk) for pk in members],
        "stage": _gates(judged),
    }
    wanted = Q(pk__in=[])
    for name, ids in targets.items():
        narrowed = Q(target_type=name, target_id__in=ids)
        wanted |= narrowed & Q(action__in=GATES_CLOSED) if name == "stage" else narrowed
    known = {str(pk) for pk in decided}
    rows = AuditEvent.objects.filter(wanted).select_related("actor", "experiment").order_by("-id")[:MOST_ENTRIES]
    rest = (row for row in rows if row.action != EDITED and (row.action not in DECIDED or row.target_id not in known))
    return [_event(row, items) for row in rest]


def _gates(judged: Iterable[Classification]) -> list[str]:
    rows = Stage.objects.filter(iteration__in={one.iteration_id for one in judged}, kind=StageKind.REVIEW)
    return [str(pk) for pk in rows.values_list("pk", flat=True)]


def _event(row: AuditEvent, items: dict[str, str]) -> HistoryEntry:
    where = items.get(row.target_id, "") if row.target_type == "classification" else ""
    where = where or (row.experiment.name if row.experiment else "")
    said = str(row.detail.get("reason") or "")
    what = sentence(row.action, row.detail)
    if row.action == LABELLED and row.detail.get("before"):
        what = _set(row.detail["before"], row.detail.get("after", {}))
    return HistoryEntry(row.at, row.actor.username if row.actor else "", what, said, where)
