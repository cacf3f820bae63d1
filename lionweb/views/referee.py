from dataclasses import replace
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from lionweb.independence import veiled
from lionweb.models import Experiment, Iteration
from lionweb.permissions import signed_in
from lionweb.selectors.experiment import choose
from lionweb.selectors.referee_calibration import calibration
from lionweb.selectors.referee_health import health, trend, unpeopled
from lionweb.selectors.referee_lengths import lengths
from lionweb.views.iteration_number import iteration_number


@require_GET
def experiment_referee(request: HttpRequest, pk: int) -> HttpResponse:
    """How far the referee of one iteration can be trusted. With ?lengths=1 the lengths are in it, for want of a script."""
    found = _experiment(pk)
    iterations = list(found.iterations.order_by("number"))
    for one in iterations:
        one.experiment = found
    iteration = choose(iterations, iteration_number(request))
    hidden = veiled(iterations, signed_in(request))
    hidden_numbers = {one.number for one in iterations if one.pk in hidden}
    shown: dict[str, Any] = {
        "experiment": found,
        "iteration": iteration,
        "iterations": iterations,
        "rows": tuple(unpeopled(row) if row.number in hidden_numbers else row for row in trend(found)),
    }
    if iteration is not None:
        shown |= _figures(iteration, is_hidden=iteration.pk in hidden)
        if request.GET.get("lengths") == "1":
            shown["lengths"] = lengths(iteration)
    return render(request, "referee/referee.html", shown)


def _figures(iteration: Iteration, *, is_hidden: bool) -> dict[str, Any]:
    """Without all that rests on people's decisions while these are kept back from the reader."""
    found = health(iteration)
    if not is_hidden:
        return {"health": found, "calibration": calibration(iteration)}
    kept = tuple(figure for figure in found.figures if figure.name != "agreement")
    return {"health": replace(found, figures=kept), "is_hidden": True}


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
