"""What the page of one experiment shows, for one of its iterations."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from django.http import Http404

from lionweb.models import Experiment, Iteration, Stage, StageStatus
from lionweb.selectors.experiment_status import ExperimentStatus, StageState, status_of
from lionweb.selectors.experiments import progress
from lionweb.selectors.iteration_numbers import IterationNumbers, iteration_numbers
from lionweb.selectors.stage_views import Paid, StageView, paid_by_stage, stage_views
from lionweb.services.advance import open_decisions


@dataclass(frozen=True)
class IterationTab:
    number: int
    status: ExperimentStatus


@dataclass(frozen=True)
class Spend:
    paid_calls: int
    tokens: int
    cost_usd: float


@dataclass(frozen=True)
class Controls:
    """Which buttons apply now."""

    launch: bool
    queue_more: bool
    pause: bool
    resume: bool
    cancel: bool


@dataclass(frozen=True)
class ExperimentPage:
    experiment: Experiment
    status: ExperimentStatus
    planned: int
    progress: float
    tabs: tuple[IterationTab, ...]
    iteration: Iteration | None
    stages: tuple[StageView, ...]
    numbers: IterationNumbers | None
    spend: Spend
    iteration_spend: Spend
    controls: Controls
    open_decisions: int

    @property
    def failed(self) -> StageView | None:
        return next((stage for stage in self.stages if stage.status == StageStatus.FAILED), None)

    @property
    def cancelled(self) -> StageView | None:
        return next((stage for stage in self.stages if stage.status == StageStatus.CANCELLED), None)

    @property
    def waiting(self) -> StageView | None:
        return next((stage for stage in self.stages if stage.status == StageStatus.WAITING), None)

    @property
    def iterations_left(self) -> int:
        """Iterations of the settings that were not launched yet."""
        return max(0, self.experiment.settings.iterations - self.planned)


@dataclass(frozen=True)
class ExperimentHead:
    """What the log needs to know: where it belongs, and whether more lines may come."""

    experiment: Experiment
    status: ExperimentStatus
    iteration: Iteration | None


def experiment_head(pk: int, number: int | None = None) -> ExperimentHead:
    """Like `experiment_page`, without its numbers."""
    experiment = _experiment(pk)
    iterations = list(experiment.iterations.order_by("number"))
    last = iterations[-1] if iterations else None
    status = _status(_stages(iterations[-1:]), last, experiment.planned_iterations)
    return ExperimentHead(experiment, status, choose(iterations, number))


def experiment_page(pk: int, number: int | None = None) -> ExperimentPage:
    """The page for iteration `number`, by default the last one.

    Raises:
        Http404: there is no such experiment or iteration.
    """
    experiment = _experiment(pk)
    iterations = list(experiment.iterations.order_by("number"))
    stages = _stages(iterations)
    chosen = choose(iterations, number)
    last = iterations[-1] if iterations else None
    status = _status(stages, last, experiment.planned_iterations)
    paid = paid_by_stage(pk)
    views = stage_views(stages[chosen.pk], paid) if chosen else ()
    return ExperimentPage(
        experiment=experiment,
        status=status,
        planned=experiment.planned_iterations,
        progress=progress(stages[last.pk], last.number, experiment.planned_iterations) if last else 0.0,
        tabs=tuple(IterationTab(one.number, _status(stages, one, one.number)) for one in iterations),
        iteration=chosen,
        stages=views,
        numbers=iteration_numbers(chosen) if chosen else None,
        spend=_sum(paid.values()),
        iteration_spend=_sum(view.paid for view in views),
        controls=_controls(status, is_imported=experiment.endpoint.is_imported),
        open_decisions=_open_decisions(stages[chosen.pk]) if chosen else 0,
    )


def choose(iterations: list[Iteration], number: int | None) -> Iteration | None:
    """The iteration with this number, or the last.

    Raises:
        Http404: a number was given and is not there.
    """
    if number is None:
        return iterations[-1] if iterations else None
    for one in iterations:
        if one.number == number:
            return one
    raise Http404(f"This experiment has no iteration {number}.")


def _experiment(pk: int) -> Experiment:
    related = ("owner", "endpoint", "pool", "heldout_pool", "cloned_from", "replay_of__experiment")
    found = Experiment.objects.select_related(*related).filter(pk=pk).first()
    if found is None:
        raise Http404("There is no such experiment.")
    return found


def _stages(iterations: list[Iteration]) -> dict[int, list[Stage]]:
    found: dict[int, list[Stage]] = defaultdict(list)
    for stage in Stage.objects.filter(iteration__in=iterations).order_by("iteration", "position"):
        found[stage.iteration_id].append(stage)
    return found


def _status(stages: dict[int, list[Stage]], iteration: Iteration | None, planned: int) -> ExperimentStatus:
    if iteration is None:
        return status_of((), 0, planned)
    states = [StageState(stage.kind, stage.status, stage.paused_for) for stage in stages[iteration.pk]]
    return status_of(states, iteration.number, planned)


def _controls(status: ExperimentStatus, *, is_imported: bool) -> Controls:
    """An imported teacher cannot be called: no further iteration can be launched."""
    return Controls(
        launch=status.name in ("draft", "succeeded") and not is_imported,
        queue_more=(status.is_live or status.name == "paused") and not is_imported,
        pause=status.is_live,
        resume=status.name in ("paused", "cancelled"),
        cancel=status.is_live or status.name in ("paused", "failed"),
    )


def _open_decisions(stages: list[Stage]) -> int:
    return sum(open_decisions(stage) for stage in stages if stage.status == StageStatus.WAITING)


def _sum(paid: Iterable[Paid]) -> Spend:
    rows = list(paid)
    return Spend(
        sum(one.paid_calls for one in rows), sum(one.tokens for one in rows), sum(one.cost_usd for one in rows)
    )
