"""What people did with one instruction: edits, labels, deletions, and changes of many that took it along."""

from dataclasses import dataclass
from datetime import datetime

from lionweb.models import AuditEvent, BulkAction, BulkItem, Instruction, ItemState

MOST_EVENTS = 100


@dataclass(frozen=True)
class HistoryEvent:
    at: datetime
    actor: str
    words: str
    instruction: int | None = None  # the other one, of an edit


@dataclass(frozen=True)
class InstructionHistory:
    events: tuple[HistoryEvent, ...]
    edited_from: int | None
    edits: tuple[int, ...]


def instruction_history(instruction: Instruction) -> InstructionHistory:
    """Events with the newest first."""
    events = [*_audited(instruction), *_bulk(instruction), *_made(instruction)]
    return InstructionHistory(
        events=tuple(sorted(events, key=lambda event: event.at, reverse=True)),
        edited_from=instruction.edited_from_id,
        edits=tuple(instruction.edits.order_by("pk").values_list("pk", flat=True)),
    )


def _made(instruction: Instruction) -> list[HistoryEvent]:
    if not instruction.edited_from_id:
        return []
    editor = instruction.edited_by.username if instruction.edited_by else ""
    words = "wrote it as an edit of instruction"
    return [HistoryEvent(instruction.created_at, editor, words, instruction.edited_from_id)]


def _audited(instruction: Instruction) -> list[HistoryEvent]:
    found = AuditEvent.objects.filter(target_type="instruction", target_id=str(instruction.pk)).select_related("actor")
    return [
        HistoryEvent(one.at, one.actor.username if one.actor else "", _words(one), one.detail.get("into"))
        for one in found.order_by("-id")[:MOST_EVENTS]
    ]


def _words(event: AuditEvent) -> str:
    if event.action == "instruction.label":
        before, after = event.detail.get("before", {}), event.detail.get("after", {})
        return "set " + " and ".join(f"the {name} from “{before[name]}” to “{after.get(name, '')}”" for name in before)
    return {
        "instruction.edit": "edited it into instruction",
        "instruction.delete": "deleted it",
        "instruction.restore": "restored it",
    }.get(event.action, event.action)


def _bulk(instruction: Instruction) -> list[HistoryEvent]:
    states = (ItemState.CHANGED, ItemState.UNDONE, ItemState.KEPT)
    items = BulkItem.objects.filter(instruction=instruction, state__in=states, at__isnull=False)
    found = []
    for item in items.select_related("job__actor", "job__pool").order_by("-id")[:MOST_EVENTS]:
        words = f"{_bulk_words(item)}, with {item.job.total - 1:,} others"
        words += " (taken back since)" if item.state == ItemState.UNDONE else ""
        found.append(HistoryEvent(item.at or item.job.created_at, item.job.actor.username, words))
    return found


def _bulk_words(item: BulkItem) -> str:
    job = item.job
    if job.action == BulkAction.POOL:
        return f"added it to the pool {job.pool.name}" if job.pool else "added it to a pool"
    if job.action in (BulkAction.CATEGORY, BulkAction.LANGUAGE):
        return f"set the {job.action} from “{item.before}” to “{job.value}”"
    return "deleted it" if job.action == BulkAction.DELETE else "restored it"
