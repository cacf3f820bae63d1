"""Decisions at the approval gate: one at a time or by a rule, each of them an action that can be undone until it closes."""

from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from lionweb.models import (
    Approval,
    ApprovalAction,
    ApprovalKind,
    Candidate,
    MemberPool,
    Membership,
    RejectReason,
    Stage,
    StageKind,
    StageStatus,
    User,
)
from lionweb.services import audit, gates, leaks
from lionweb.services.errors import Refused

CLOSED = "This iteration has moved on, so its decisions are closed."
LONGEST_TEXT = 2000
RESTORED = (
    "approval",
    "decided_by_id",
    "rejected_reason",
    "rejected_text",
    "action_id",
    "instruction_id",
    "similarity",
)


class Stale(Refused):
    """Someone else acted on the item since it was shown."""

    code = "stale"


@transaction.atomic
def decide(
    *,
    stage: Stage,
    candidate: Candidate,
    actor: User,
    approve: bool,
    reason: str = "",
    text: str = "",
    seen: int | None = None,
) -> ApprovalAction:
    """Approve or reject one new instruction.

    seen: the last action on it that the person knew of, 0 for none; None does not ask.

    Raises:
        Stale: someone acted on it since.
        Refused: the gate is closed, a rejection has no reason, or leaks are blocked and this one overlaps.
    """
    gate = lock_gate(stage)
    row = item(gate, candidate)
    refuse_stale(row, seen)
    if approve:
        _refuse_leaked(gate, row)
    action = _record(gate, row, actor, ApprovalKind.APPROVE if approve else ApprovalKind.REJECT)
    _write(members(gate).filter(candidate=candidate), action, actor, approve, reason, text)
    audit.record(
        actor=actor,
        action="approval.approved" if approve else "approval.rejected",
        target=candidate,
        reason=reason,
        text=text,
        before=action.before["approval"],
    )
    return action


@transaction.atomic
def decide_many(
    *,
    stage: Stage,
    rows: QuerySet[Membership],
    actor: User,
    approve: bool,
    rule: dict[str, Any],
    reason: str = "",
    text: str = "",
) -> ApprovalAction:
    """Decide in one statement on all `rows` (of the Cache Pool) that are still open; `rule` says how they were chosen.

    Where leaks are blocked, those that overlap with an evaluation set are passed over. Raises Refused for a closed gate, and where nothing
    is left to decide.
    """
    gate = lock_gate(stage)
    chosen = rows.filter(approval=Approval.PENDING).order_by()
    if approve and leaks.blocks(gate.iteration.experiment):
        chosen = chosen.exclude(leaks.is_leaked())
    earlier = dict(chosen.filter(action__isnull=False).values_list("candidate", "action"))
    action = ApprovalAction.objects.create(
        iteration=gate.iteration,
        person=actor,
        kind=ApprovalKind.APPROVE if approve else ApprovalKind.REJECT,
        rule=rule,
        before={"actions": earlier},
    )
    _write(members(gate).filter(candidate__in=chosen.values("candidate")), action, actor, approve, reason, text)
    action.count = action.memberships.filter(pool=MemberPool.CACHE).count()
    if not action.count:  # else an undo would take back what was done before it
        raise Refused("None of these is open.", "Select some, or change the filters.")
    action.save(update_fields=["count"])
    audit.record(actor=actor, action=f"approval.many.{action.kind}", target=stage, count=action.count, rule=rule)
    return action


@transaction.atomic
def undo(*, stage: Stage, actor: User) -> ApprovalAction:
    """Take back the person's last action on which nobody has built since. Raises Refused where there is none."""
    gate = lock_gate(stage)
    last = (
        ApprovalAction.objects.filter(iteration=gate.iteration, person=actor, undone_at__isnull=True)
        .filter(Exists(Membership.objects.filter(action=OuterRef("pk"))))
        .order_by("-pk")
        .first()
    )
    if last is None:
        raise Refused("You have nothing to undo here.", "What others decided since stays theirs.")
    rows = members(gate).filter(action=last)
    if last.kind == ApprovalKind.KEEP and last.candidate_id:
        rows.delete()
        Candidate.objects.filter(pk=last.candidate_id).update(instruction=None)
    elif last.candidate_id:
        _restore(rows, last.before)
    else:
        _reopen(gate, rows, last.before["actions"])
    ApprovalAction.objects.filter(pk=last.pk).update(undone_at=timezone.now())
    audit.record(
        actor=actor, action="approval.undo", target=last.candidate or stage, undone=last.kind, count=last.count
    )
    return last


@transaction.atomic
def close(*, stage: Stage, actor: User) -> None:
    """Let the iteration end. What nobody decided stays out of the pools; with the policy `require` nothing may be open."""
    if stage.kind != StageKind.APPROVE:
        raise Refused("This is not the gate to close.")
    gates.close(stage, actor, required=stage.iteration.experiment.settings.gates.approval == "require")


def lock_gate(stage: Stage) -> Stage:
    """The stage's row is the lock of all its decisions; closing takes it too."""
    found = Stage.objects.select_for_update(no_key=True, of=("self",)).select_related("iteration__experiment")
    gate = found.get(iteration=stage.iteration_id, kind=StageKind.APPROVE)
    if gate.status in (StageStatus.SUCCEEDED, StageStatus.CANCELLED):
        raise Refused(CLOSED, "Remove the instruction from a later pool instead.")
    return gate


def members(gate: Stage) -> QuerySet[Membership]:
    """The rows of the gate's new instructions, in both pools."""
    iteration = gate.iteration
    return Membership.objects.filter(
        experiment=iteration.experiment_id, since=iteration.number + 1, candidate__iteration=iteration.pk
    )


def item(gate: Stage, candidate: Candidate) -> Membership:
    row = members(gate).filter(candidate=candidate, pool=MemberPool.CACHE).select_related("instruction").first()
    if row is None:
        raise Refused("This candidate was not accepted, so there is nothing to approve.")
    return row


def refuse_stale(row: Membership, seen: int | None) -> None:
    if seen is None or seen == (row.action_id or 0):
        return
    who = row.decided_by.username if row.decided_by else "someone"
    state = "waiting" if row.approval == Approval.PENDING else row.approval
    raise Stale(f"Meanwhile {who} changed this one; it is {state} now.", "Look at it again, then decide.")


def _refuse_leaked(gate: Stage, row: Membership) -> None:
    if leaks.blocks(gate.iteration.experiment) and row.instruction.leaks.exists():
        raise Refused(
            "This instruction overlaps with an evaluation set, and this experiment blocks those.",
            "Reject it, or edit it until it no longer overlaps.",
        )


def _record(gate: Stage, row: Membership, actor: User, kind: ApprovalKind) -> ApprovalAction:
    return ApprovalAction.objects.create(
        iteration=gate.iteration, person=actor, kind=kind, candidate_id=row.candidate_id, before=state_of(row)
    )


def state_of(row: Membership) -> dict[str, Any]:
    at = row.decided_at.isoformat() if row.decided_at else None
    return {name: getattr(row, name) for name in RESTORED} | {"decided_at": at}


def _write(
    rows: QuerySet[Membership], action: ApprovalAction, actor: User, approve: bool, reason: str, text: str
) -> None:
    if not approve and reason not in RejectReason.values:
        raise Refused("A rejection needs a reason.", "Choose one of the seven.")
    rows.update(
        approval=Approval.APPROVED if approve else Approval.REJECTED,
        decided_by=actor,
        decided_at=timezone.now(),
        action=action,
        rejected_reason="" if approve else reason,
        rejected_text="" if approve else text[:LONGEST_TEXT],
    )


def _restore(rows: QuerySet[Membership], before: dict[str, Any]) -> None:
    """Of the similarity pages read the row of the Cache Pool alone."""
    earlier = ApprovalAction.objects.filter(pk=before["action_id"]).first()
    rows.update(**before | {"action_id": earlier.pk if earlier else None})


def _reopen(gate: Stage, rows: QuerySet[Membership], earlier: dict[str, int]) -> None:
    rows.update(
        approval=Approval.PENDING, decided_by=None, decided_at=None, action=None, rejected_reason="", rejected_text=""
    )
    for candidate, action in earlier.items():
        members(gate).filter(candidate=int(candidate)).update(action=action)
