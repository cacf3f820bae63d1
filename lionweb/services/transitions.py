"""The one place where a stage changes its status."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from lionweb.models import ALLOWED_TRANSITIONS, PauseReason, Stage, StageEvent, StageStatus

OVER = (StageStatus.SUCCEEDED, StageStatus.FAILED, StageStatus.CANCELLED)


@transaction.atomic
def transition(
    *,
    stage: Stage,
    to: StageStatus,
    message: str = "",
    actor: str = "",
    error: dict[str, str] | None = None,
    paused_for: PauseReason = PauseReason.PERSON,
) -> bool:
    """Move a stage to a status and write the event, or do nothing and return False where the move is not allowed.

    `paused_for` belongs to the status paused and is forgotten when the stage leaves it.
    The row is locked for the time of the transaction, so of two callers only one moves it.
    """
    now = timezone.now()
    current = Stage.objects.select_for_update(no_key=True).get(pk=stage.pk)
    if to not in ALLOWED_TRANSITIONS[current.status]:
        return False
    changes: dict[str, Any] = {"status": to, "error": error, "phase": ""}
    changes["paused_for"] = paused_for if to == StageStatus.PAUSED else ""
    if to in (StageStatus.RUNNING, StageStatus.WAITING):
        changes["started_at"] = current.started_at or now
    changes["finished_at"] = now if to in OVER else None
    if to == StageStatus.SUCCEEDED:
        changes["started_at"] = current.started_at or now
    Stage.objects.filter(pk=stage.pk).update(**changes)
    StageEvent.objects.create(stage=stage, from_status=current.status, to_status=to, message=message, actor=actor)
    stage.refresh_from_db()
    return True


def log(*, stage: Stage, message: str, actor: str = "") -> None:
    """One line of the stage's log."""
    StageEvent.objects.create(stage=stage, message=message, actor=actor)
