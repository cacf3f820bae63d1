"""Progress of an experiment in the terminal, read from the database like the pages."""

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lionweb.models import Experiment, Iteration, PauseReason, Stage, StageStatus

STOPPED = (StageStatus.FAILED, StageStatus.PAUSED, StageStatus.WAITING, StageStatus.CANCELLED)


def watch(experiment: Experiment, *, console: Console, until: int, is_alive: Callable[[], bool]) -> Stage | None:
    """Show bars until iteration `until` is finished. Returns the stage that stopped it early, if one did."""
    with _bars(console) as bars:
        tasks: dict[int, TaskID] = {}
        while is_alive():
            stopped = _refresh(bars, tasks, experiment)
            if stopped is not None:
                return stopped
            if Iteration.objects.filter(experiment=experiment, number=until, finished_at__isnull=False).exists():
                return None
            time.sleep(0.5)
    return None


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[phase]}"),
        console=console,
    )


def _refresh(bars: Progress, tasks: dict[int, TaskID], experiment: Experiment) -> Stage | None:
    stages = Stage.objects.filter(iteration__experiment=experiment).select_related("iteration")
    for stage in stages.order_by("iteration__number", "position"):
        if stage.status == StageStatus.PENDING:
            continue
        if stage.pk not in tasks:
            name = f"{stage.iteration.number} {stage.get_kind_display():<9}"
            tasks[stage.pk] = bars.add_task(name, total=None, phase="")
        total = max(stage.total, 1)
        done = total if stage.status == StageStatus.SUCCEEDED else stage.done
        bars.update(tasks[stage.pk], total=total, completed=done, phase=stage.phase)
        if stage.status == StageStatus.SUCCEEDED:
            bars.stop_task(tasks[stage.pk])
        if stage.status in STOPPED:
            return stage
    return None


def why_it_stopped(stage: Stage) -> str:
    """One paragraph for the terminal."""
    error = stage.error or {}
    what = f"{_name(stage)} is {stage.status}."
    if stage.paused_for == PauseReason.BUDGET:
        return f"{_name(stage)} is paused (budget): the money is spent. Raise the budget on the experiment's page."
    again = (
        f"Then: ./lion iterate {stage.iteration.experiment_id} --retry" if stage.status == StageStatus.FAILED else ""
    )
    return " ".join(part for part in (what, error.get("cause", ""), error.get("advice", ""), again) if part)


def remarks(experiment: Experiment) -> list[str]:
    """What the pages note at stages that ended well: seeds of one kind only, too few new ones, calls left out."""
    found = []
    ended_well = Stage.objects.filter(iteration__experiment=experiment, status=StageStatus.SUCCEEDED)
    for stage in ended_well.select_related("iteration").order_by("iteration__number", "position"):
        if stage.failed_items:
            last = stage.failures.order_by("-at").first()
            why = f" The last one: {last.message}" if last else ""
            found.append(f"{_name(stage)}: {stage.failed_items} calls failed for good and are left out.{why}")
        if stage.note:
            found.append(f"{_name(stage)}: {stage.note}")
    return found


def _name(stage: Stage) -> str:
    return f"Stage {stage.kind} of iteration {stage.iteration.number}"
