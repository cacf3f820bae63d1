"""Decisions of people at the review gate."""

from django.db import transaction
from django.utils import timezone

from distill.records import Verdict
from lionweb.models import Classification, Stage, StageKind, StageStatus, User
from lionweb.services import audit
from lionweb.services.advance import advance, open_decisions
from lionweb.services.errors import Refused
from lionweb.services.transitions import transition

CLOSED = "This iteration has moved on, so its decisions are closed."


@transaction.atomic
def decide_verdict(*, classification: Classification, actor: User, verdict: Verdict | None, reason: str = "") -> None:
    """A person's verdict beside the referee's; None takes it back.

    Raises:
        Refused: the generator has already drawn its seeds from these verdicts.
    """
    stage = Stage.objects.select_for_update(no_key=True).get(
        iteration_id=classification.iteration_id, kind=StageKind.REVIEW
    )
    if stage.status == StageStatus.SUCCEEDED:
        raise Refused(CLOSED, "Change the verdict in the next iteration.")
    Classification.objects.filter(pk=classification.pk).update(
        person_verdict=verdict,
        person=actor if verdict else None,
        person_reason=reason,
        person_at=timezone.now() if verdict else None,
    )
    audit.record(
        actor=actor,
        action="verdict.decide" if verdict else "verdict.take_back",
        target=classification,
        before=classification.person_verdict,
        after=verdict,
        reason=reason,
    )
    classification.refresh_from_db()


@transaction.atomic
def close_review(*, stage: Stage, actor: User) -> None:
    """Let the iteration go on. With the policy `require` only once nothing is open."""
    _close(stage, StageKind.REVIEW, actor, required=stage.iteration.experiment.settings.gates.review == "require")


def _close(stage: Stage, kind: StageKind, actor: User, *, required: bool) -> None:
    left = open_decisions(stage)
    if stage.kind != kind:
        raise Refused("This is not the gate to close.")
    if required and left:
        raise Refused(f"{left} items are still open, and this experiment requires a decision on each.", "Decide them.")
    if not transition(stage=stage, to=StageStatus.SUCCEEDED, actor=actor.username, message=f"Closed with {left} open."):
        raise Refused("This gate is not waiting.")
    audit.record(actor=actor, action=f"gate.{kind}.close", target=stage, left_open=left)
    transaction.on_commit(lambda: advance(stage.iteration_id))
