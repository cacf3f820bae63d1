"""The end of a gate."""

from django.db import transaction

from lionweb.models import UNSETTLED, Classification, ReviewLock, ReviewState, Stage, StageStatus, User
from lionweb.services import audit
from lionweb.services.advance import advance, open_decisions
from lionweb.services.errors import Refused
from lionweb.services.transitions import transition


@transaction.atomic
def close_review(*, stage: Stage, actor: User) -> None:
    """Let the iteration go on and freeze its decisions. With the policy `require` only once nothing is open."""
    close(stage, actor, required=stage.iteration.experiment.settings.gates.review == "require")
    Classification.objects.filter(iteration=stage.iteration_id, review_state__in=UNSETTLED).update(
        review_state=ReviewState.CLOSED
    )
    ReviewLock.objects.filter(classification__iteration=stage.iteration_id).delete()


def close(stage: Stage, actor: User, *, required: bool) -> None:
    """End a gate; the caller's transaction freezes what stays open. Raises Refused where that is not allowed."""
    Stage.objects.select_for_update(no_key=True).get(pk=stage.pk)  # decisions of this gate take it too
    left = open_decisions(stage)
    if required and left:
        are = "item is" if left == 1 else "items are"
        raise Refused(f"{left} {are} still open, and this experiment requires a decision on each.", "Decide first.")
    if not transition(stage=stage, to=StageStatus.SUCCEEDED, actor=actor.username, message=f"Closed with {left} open."):
        raise Refused("This gate is not waiting.")
    audit.record(actor=actor, action=f"gate.{stage.kind}.close", target=stage, left_open=left)
    transaction.on_commit(lambda: advance(stage.iteration_id))
