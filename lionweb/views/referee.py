from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from lionweb.models import Experiment
from lionweb.selectors.experiment import choose
from lionweb.selectors.referee_calibration import calibration
from lionweb.selectors.referee_health import health, trend
from lionweb.views.iteration_number import iteration_number


@require_GET
def experiment_referee(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the referee of one iteration can be trusted."""
    found = get_object_or_404(Experiment.objects.select_related("endpoint", "second_endpoint"), pk=pk)
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
    return render(request, "referee/referee.html", shown)
