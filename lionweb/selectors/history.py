"""All that happened to one instruction: decisions, those taken back too, edits, deletions, and what gates did with it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from lionweb.audit_words import sentence
from lionweb.models import (
    OPEN_STATES,
    AuditEvent,
    Candidate,
    Classification,
    Decision,
    Instruction,
    Membership,
    Stage,
    StageKind,
    User,
)

MOST_ENTRIES = 200
DECIDED = ("verdict.decide", "verdict.take_back", "conflict.resolve")
"""Audited beside Decision rows, which say more."""
DELETED, EDITED = "instruction.delete", "instruction.edit"
GATES_CLOSED = tuple(f"gate.{kind}.close" for kind in (StageKind.REVIEW, StageKind.APPROVE))


@dataclass(frozen=True)
class HistoryEntry:
    """`who` is empty for the system. `said` is a person's own text."""

    at: datetime
    who: str
    what: str
    said: str = ""
    where: str = ""
    is_undone: bool = False


def history_of(instruction: Instruction, reader: User | None = None) -> tuple[HistoryEntry, ...]:
    """Oldest first. What others said of an open item is left out for a `reader` who has not decided on it yet, so that
    opinions stay independent; without a reader nothing is."""
    judged = list(Classification.objects.filter(instruction=instruction).select_related("iteration__experiment"))
    entries = [
        _begun(instruction),
        *_decisions(judged, reader),
        *_edits(instruction),
        *_audited(instruction, judged),
    ]
    return tuple(sorted(entries, key=lambda one: one.at)[-MOST_ENTRIES:])


def _begun(instruction: Instruction) -> HistoryEntry:
    if instruction.edited_from_id:
        who = instruction.edited_by.username if instruction.edited_by else ""
        return HistoryEntry(
            instruction.created_at, who, f"wrote it as an edit of instruction {instruction.edited_from_id}"
        )
    return HistoryEntry(instruction.created_at, "", "It was stored.")


def _decisions(judged: Iterable[Classification], reader: User | None) -> list[HistoryEntry]:
    items = {one.pk: one for one in judged}
    rows = list(Decision.objects.filter(classification__in=items).select_related("person").order_by("pk"))
    spoken = {row.classification_id for row in rows if reader and row.person_id == reader.pk and not row.undone_at}
    found = []
    for row in rows:
        item = items[row.classification_id]
        hidden = item.review_state in OPEN_STATES and item.pk not in spoken
        if reader and row.person_id != reader.pk and hidden:
            continue
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
    found = [
        HistoryEntry(
            one.created_at, one.edited_by.username if one.edited_by else "", f"edited it into instruction {one.pk}"
        )
        for one in instruction.edits.select_related("edited_by")[:MOST_ENTRIES]
    ]
    audited = AuditEvent.objects.filter(target_type="instruction", target_id=str(instruction.pk), action=DELETED)
    if instruction.deleted_at and not audited.exists():  # by a change of many at once
        who = instruction.deleted_by.username if instruction.deleted_by else ""
        found.append(HistoryEntry(instruction.deleted_at, who, "deleted it"))
    return found


def _audited(instruction: Instruction, judged: Iterable[Classification]) -> list[HistoryEntry]:
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
    known = _with_decisions(items)
    rows = AuditEvent.objects.filter(wanted).select_related("actor", "experiment").order_by("-id")[:MOST_ENTRIES]
    rest = (row for row in rows if row.action != EDITED and (row.action not in DECIDED or row.target_id not in known))
    return [_event(row, items) for row in rest]


def _with_decisions(items: Iterable[str]) -> set[str]:
    rows = Decision.objects.filter(classification__in=[int(pk) for pk in items])
    return {str(pk) for pk in rows.values_list("classification_id", flat=True)}


def _gates(judged: Iterable[Classification]) -> list[str]:
    rows = Stage.objects.filter(iteration__in={one.iteration_id for one in judged}, kind=StageKind.REVIEW)
    return [str(pk) for pk in rows.values_list("pk", flat=True)]


def _event(row: AuditEvent, items: dict[str, str]) -> HistoryEntry:
    where = items.get(row.target_id, "") if row.target_type == "classification" else ""
    where = where or (row.experiment.name if row.experiment else "")
    said = str(row.detail.get("reason") or "")
    return HistoryEntry(row.at, row.actor.username if row.actor else "", sentence(row.action, row.detail), said, where)
