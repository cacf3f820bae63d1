"""What a researcher may tell an experiment to do. All of it is rows: workers see it at their next heartbeat."""

from django.db import transaction
from django.db.models import F

from lionweb.models import (
    ENDED,
    GATES,
    Experiment,
    ItemFailure,
    Iteration,
    Lease,
    PauseReason,
    Stage,
    StageStatus,
    User,
)
from lionweb.services import audit, budget
from lionweb.services.advance import advance, begin
from lionweb.services.errors import Refused
from lionweb.services.transitions import transition


def current_stage(experiment: Experiment) -> Stage | None:
    """The stage that decides what the experiment does now; None before the first launch."""
    last = experiment.iterations.order_by("-number").first()
    if last is None:
        return None
    open_ones = last.stages.exclude(status=StageStatus.SUCCEEDED).order_by("position")
    return open_ones.first() or last.stages.order_by("-position").first()


@transaction.atomic
def launch(*, experiment: Experiment, actor: User | None, count: int = 1) -> None:
    """Plan `count` more iterations; the first starts as soon as no other one of this experiment is open."""
    if count < 1:
        raise Refused("No iteration was asked for.", "Launch at least one.")
    if experiment.endpoint.is_imported:
        raise Refused(
            f"{experiment.name} was imported: its teacher cannot be called.",
            "Make a new experiment on its pool, with an endpoint that answers.",
        )
    stage = current_stage(experiment)
    if stage and stage.status in (StageStatus.FAILED, StageStatus.CANCELLED):
        raise Refused(f"Iteration {stage.iteration.number} has not ended well.", "Retry or resume it first.")
    Experiment.objects.filter(pk=experiment.pk).update(planned_iterations=F("planned_iterations") + count)
    audit.record(actor=actor, action="experiment.launch", target=experiment, iterations=count)
    experiment.refresh_from_db()
    transaction.on_commit(lambda: begin(experiment=experiment))


@transaction.atomic
def pause(*, experiment: Experiment, actor: User | None) -> None:
    """Stop after the calls in flight, with everything kept."""
    stage = current_stage(experiment)
    if stage is None or not transition(stage=stage, to=StageStatus.PAUSED, actor=_name(actor)):
        raise Refused("Nothing is running that could be paused.")
    audit.record(actor=actor, action="experiment.pause", target=experiment)


@transaction.atomic
def resume(*, experiment: Experiment, actor: User | None) -> None:
    """Go on where it was paused or cancelled. Raises Refused where nothing is, or the budget is still spent."""
    stage = current_stage(experiment)
    if stage is None or stage.status not in (StageStatus.PAUSED, StageStatus.CANCELLED):
        raise Refused("Nothing is paused.")
    if stage.paused_for == PauseReason.BUDGET:
        budget.check_room(stage)
    for one in stage.iteration.stages.filter(status__in=(StageStatus.PAUSED, StageStatus.CANCELLED)):
        transition(stage=one, to=StageStatus.PENDING, actor=_name(actor))
    audit.record(actor=actor, action="experiment.resume", target=experiment)
    _advance_later(stage.iteration)


@transaction.atomic
def cancel(*, experiment: Experiment, actor: User | None) -> None:
    """Give up the open iteration and what is planned after it; results stay."""
    stage = current_stage(experiment)
    if stage is None or stage.status in ENDED:
        raise Refused("Nothing is open that could be cancelled.")
    for one in stage.iteration.stages.exclude(status__in=ENDED):
        transition(stage=one, to=StageStatus.CANCELLED, actor=_name(actor))
    Lease.objects.filter(stage__iteration=stage.iteration).delete()
    Experiment.objects.filter(pk=experiment.pk).update(planned_iterations=stage.iteration.number)
    audit.record(actor=actor, action="experiment.cancel", target=experiment)


@transaction.atomic
def retry(*, stage: Stage, actor: User | None) -> None:
    """Run a failed stage again. What it has already is kept; items that had failed get new tries."""
    if stage.kind in GATES or not transition(stage=stage, to=StageStatus.PENDING, actor=_name(actor)):
        raise Refused(f"The stage {stage.kind} has not failed.")
    ItemFailure.objects.filter(stage=stage).delete()
    audit.record(actor=actor, action="stage.retry", target=stage)
    _advance_later(stage.iteration)


def _advance_later(iteration: Iteration) -> None:
    transaction.on_commit(lambda: advance(iteration.pk))


def _name(actor: User | None) -> str:
    return actor.username if actor else ""
