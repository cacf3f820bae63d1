"""Decisions of people at the two gates."""

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from lionweb.models import (
    UNSETTLED,
    Approval,
    Candidate,
    Classification,
    Membership,
    ReviewLock,
    ReviewState,
    Stage,
    StageKind,
    StageStatus,
    User,
)
from lionweb.services import audit
from lionweb.services.advance import advance, open_decisions
from lionweb.services.errors import Refused
from lionweb.services.transitions import transition

CLOSED = "This iteration has moved on, so its decisions are closed."


@transaction.atomic
def close_review(*, stage: Stage, actor: User) -> None:
    """Let the iteration go on and freeze its decisions. With the policy `require` only once nothing is open."""
    _close(stage, StageKind.REVIEW, actor, required=stage.iteration.experiment.settings.gates.review == "require")
    Classification.objects.filter(iteration=stage.iteration_id, review_state__in=UNSETTLED).update(
        review_state=ReviewState.CLOSED
    )
    ReviewLock.objects.filter(classification__iteration=stage.iteration_id).delete()


@transaction.atomic
def decide_approval(*, candidate: Candidate, actor: User, approve: bool) -> None:
    stage = Stage.objects.select_for_update(no_key=True).get(
        iteration_id=candidate.iteration_id, kind=StageKind.APPROVE
    )
    if stage.status == StageStatus.SUCCEEDED:
        raise Refused(CLOSED, "Remove the instruction from a later pool instead.")
    approval = Approval.APPROVED if approve else Approval.REJECTED
    changed = (
        _members(stage)
        .filter(instruction=candidate.instruction)
        .update(approval=approval, decided_by=actor, decided_at=timezone.now())
    )
    if not changed:
        raise Refused("This candidate was not accepted, so there is nothing to approve.")
    audit.record(actor=actor, action=f"approval.{approval}", target=candidate)


@transaction.atomic
def approve_all(*, stage: Stage, actor: User) -> int:
    """Approve everything still open; returns how many instructions."""
    pending = _members(stage).filter(approval=Approval.PENDING)
    count = pending.values("instruction").distinct().count()
    pending.update(approval=Approval.APPROVED, decided_by=actor, decided_at=timezone.now())
    audit.record(actor=actor, action="approval.all", target=stage, count=count)
    return count


@transaction.atomic
def close_approval(*, stage: Stage, actor: User) -> None:
    """Let the iteration end. What nobody decided stays out of the pools."""
    required = stage.iteration.experiment.settings.gates.approval == "require"
    _close(stage, StageKind.APPROVE, actor, required=required)


def _members(stage: Stage) -> QuerySet[Membership]:
    return Membership.objects.filter(experiment=stage.iteration.experiment, since=stage.iteration.number + 1)


def _close(stage: Stage, kind: StageKind, actor: User, *, required: bool) -> None:
    left = open_decisions(stage)
    if stage.kind != kind:
        raise Refused("This is not the gate to close.")
    if required and left:
        are = "item is" if left == 1 else "items are"
        raise Refused(f"{left} {are} still open, and this experiment requires a decision on each.", "Decide first.")
    if not transition(stage=stage, to=StageStatus.SUCCEEDED, actor=actor.username, message=f"Closed with {left} open."):
        raise Refused("This gate is not waiting.")
    audit.record(actor=actor, action=f"gate.{kind}.close", target=stage, left_open=left)
    transaction.on_commit(lambda: advance(stage.iteration_id))
