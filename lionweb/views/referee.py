from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from lionweb.models import Experiment, Iteration
from lionweb.selectors.experiment import choose
from lionweb.selectors.referee_calibration import calibration
from lionweb.selectors.referee_health import health, trend
from lionweb.selectors.referee_lengths import lengths
from lionweb.views.iteration_number import iteration_number


@require_GET
def experiment_referee(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the referee of one iteration can be trusted. With ?lengths=1 the lengths are in it, for want of a script."""
    found = _experiment(pk)
    iterations = list(found.iterations.order_by("number"))
    iteration = choose(iterations, iteration_number(request))
    shown: dict[str, Any] = {
        "experiment": found,
        "iteration": iteration,
        "iterations": iterations,
        "rows": trend(found),
    }
    if iteration is not None:
        iteration.experiment = found
        shown |= {"health": health(iteration), "calibration": calibration(iteration)}
        if request.GET.get("lengths") == "1":
            shown["lengths"] = lengths(iteration)
    return render(request, "referee/referee.html", shown)


@require_GET
def referee_lengths(request: HttpRequest, pk: int) -> HttpResponse:
    """The panel that the page loads afterwards: measuring every text takes seconds on a large pool."""
    found = _experiment(pk)
    iteration = _iteration(found, iteration_number(request))
    return render(request, "referee/_lengths.html", {"iteration": iteration, "lengths": lengths(iteration)})


def _experiment(pk: int) -> Experiment:
    return get_object_or_404(Experiment.objects.select_related("endpoint", "second_endpoint"), pk=pk)


def _iteration(experiment: Experiment, number: int | None) -> Iteration:
    iteration = choose(list(experiment.iterations.order_by("number")), number)
    if iteration is None:
        raise Http404("This experiment has no iteration yet.")
    iteration.experiment = experiment
    return iteration
