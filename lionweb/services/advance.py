"""Decides from the database what an iteration does next. Anyone may call it at any time, as often as they like."""

from django.db import transaction
from django.db.models import Count, Exists, F, OuterRef, QuerySet
from django.utils import timezone

from distill.errors import DistillError
from distill.failures import TRIES, too_many_failed
from lionweb import queue
from lionweb.models import (
    ENDED,
    GATES,
    UNSETTLED,
    Approval,
    Checkpoint,
    Experiment,
    ItemFailure,
    Iteration,
    Lease,
    Membership,
    Stage,
    StageKind,
    StageStatus,
)
from lionweb.services import leak_scans, leaks, leases
from lionweb.services.first_pools import add_corrected, append_pool, first_pools
from lionweb.services.transitions import log, transition
from lionweb.stages.candidates import Round
from lionweb.stages.part import Part
from lionweb.stages.registry import parts_of


@transaction.atomic
def start_next_iteration(*, experiment: Experiment) -> Iteration | None:
    """Make the next planned iteration with its stages and pools, once the last one is finished."""
    Experiment.objects.select_for_update(no_key=True).get(pk=experiment.pk)
    experiment.refresh_from_db()
    last = experiment.iterations.order_by("-number").first()
    number = last.number + 1 if last else 1
    if number > experiment.planned_iterations or (last and not last.finished_at):
        return None
    iteration = Iteration.objects.create(experiment=experiment, number=number)
    Stage.objects.bulk_create(
        Stage(iteration=iteration, kind=kind, position=at) for at, kind in enumerate(StageKind.values, 1)
    )
    if number == 1:
        Checkpoint.objects.get_or_create(
            experiment=experiment, number=0, defaults={"base": experiment.settings.student.base}
        )
        first_pools(experiment=experiment)
    else:
        if experiment.settings.pools.mode == "append":
            append_pool(experiment=experiment, iteration=number)
        add_corrected(experiment=experiment, iteration=number)
    return iteration


def advance(iteration_id: int) -> None:
    """Go as far as possible without a model: start, finish, ring for workers, open gates, begin the next iteration."""
    while _step(iteration_id):
        pass


@transaction.atomic
def _step(iteration_id: int) -> bool:
    """One change of state. Returns whether another may follow at once. The iteration's row is the lock."""
    iteration = Iteration.objects.select_for_update(no_key=True).filter(pk=iteration_id).first()
    if iteration is None or iteration.finished_at:
        return False
    stage = iteration.stages.exclude(status=StageStatus.SUCCEEDED).order_by("position").first()
    if stage is None:
        return _finish(iteration)
    if stage.status == StageStatus.PENDING:
        return _start_gate(stage) if stage.kind in GATES else transition(stage=stage, to=StageStatus.RUNNING)
    return _continue(stage) if stage.status == StageStatus.RUNNING else False


def _finish(iteration: Iteration) -> bool:
    Iteration.objects.filter(pk=iteration.pk).update(finished_at=timezone.now())
    following = start_next_iteration(experiment=iteration.experiment)
    if following:
        transaction.on_commit(lambda: advance(following.pk))
    return False


def _start_gate(stage: Stage) -> bool:
    if open_decisions(stage):
        transition(stage=stage, to=StageStatus.WAITING)
        return False
    return transition(stage=stage, to=StageStatus.SUCCEEDED, message="Nothing to decide here.")


def open_decisions(stage: Stage) -> int:
    """Items at a gate that wait for a person. Nobody can decide on an instruction that was deleted: it waits for none."""
    if stage.kind == StageKind.REVIEW:
        unsettled = stage.iteration.classifications.filter(review_state__in=UNSETTLED)
        return unsettled.filter(instruction__deleted_at__isnull=True).count()
    pending = Membership.objects.filter(
        experiment=stage.iteration.experiment, since=stage.iteration.number + 1, approval=Approval.PENDING
    )
    return pending.values("instruction").distinct().count()


def _continue(stage: Stage) -> bool:
    try:
        part = next((p for p in parts_of(stage) if p.open_rows()), None)
        update_progress(stage, part)
        if part is None:
            return _complete(stage)
    except DistillError as error:
        return transition(stage=stage, to=StageStatus.FAILED, error=error.as_dict())
    _ring_if_needed(stage, part)
    return False


def _ring_if_needed(stage: Stage, part: Part) -> None:
    """Not while a lease is at work on it: that worker calls advance itself when it is through."""
    if not Lease.objects.filter(stage=stage, part=part.name).exists():
        queue.ring(stage_id=stage.pk, part=part.name, queue=part.queue)


def update_progress(stage: Stage, part: Part | None) -> None:
    if part is None:
        Stage.objects.filter(pk=stage.pk).update(phase="")
        return
    total = part.total_rows()
    if total <= 1:  # a training counts its own steps
        Stage.objects.filter(pk=stage.pk, phase="").update(phase=part.label)
        return
    done = max(0, total - part.open_rows())
    failed = ItemFailure.objects.filter(stage=stage, attempts__gte=TRIES).count()
    Stage.objects.filter(pk=stage.pk).update(phase=part.label, total=total, done=done, failed_items=failed)


def _complete(stage: Stage) -> bool:
    failed = ItemFailure.objects.filter(stage=stage, attempts__gte=TRIES)
    Stage.objects.filter(pk=stage.pk).update(failed_items=failed.count())
    total = max([1, *(part.total_rows() for part in parts_of(stage))])
    last = failed.order_by("-at").first()
    error = too_many_failed(failed.count(), total, last.message if last else "")
    if error:
        return transition(stage=stage, to=StageStatus.FAILED, error=error.as_dict())
    return transition(stage=stage, to=StageStatus.SUCCEEDED, message=_closing(stage))


def _closing(stage: Stage) -> str:
    if stage.kind == StageKind.JUDGE:
        counts = stage.iteration.classifications.filter(pool="cache").values_list("verdict").annotate(n=Count("pk"))
        return "Verdicts: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts)) + "."
    if stage.kind == StageKind.GENERATE:
        return _generation_note(stage)
    return ""


def _generation_note(stage: Stage) -> str:
    """What is to be known of a generation that ended; raises GeneratorDry where it made nothing at all."""
    current = Round(stage)
    short = current.shortfall()
    if short and not stage.iteration.candidates.filter(judged=True, rejected="").exists():
        raise short
    notes = [current.shares.note] if current.shares.note else []
    note = " ".join([*notes, *([str(short)] if short else [])])
    Stage.objects.filter(pk=stage.pk).update(note=note[:500])
    return note


def sweep() -> None:
    """Free what lost workers held, and advance everything that is not finished."""
    for stage in leases.expire_lost():
        log(stage=stage, message="A worker was lost; its work is free again.")
    open_ones = Iteration.objects.filter(finished_at__isnull=True).filter(
        Exists(Stage.objects.filter(iteration=OuterRef("pk")).exclude(status__in=ENDED))
    )
    for iteration in open_ones:
        advance(iteration.pk)
    for experiment in waiting_experiments():
        begin(experiment=experiment)


def waiting_experiments() -> QuerySet[Experiment]:
    """Those with an iteration planned that does not exist yet, and none unfinished."""
    unfinished = Iteration.objects.filter(experiment=OuterRef("pk"), finished_at__isnull=True)
    return Experiment.objects.annotate(made=Count("iterations")).filter(
        ~Exists(unfinished), planned_iterations__gt=F("made")
    )


def begin(*, experiment: Experiment) -> None:
    """Begin the next planned iteration, or leave it to the sweep while a pool that must hold no leaks is being checked."""
    if leaks.blocks(experiment) and not leak_scans.is_done(pool=experiment.pool):
        return
    following = start_next_iteration(experiment=experiment)
    if following:
        advance(following.pk)
