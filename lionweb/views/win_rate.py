from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from lionweb.models import Experiment
from lionweb.selectors.experiment import choose
from lionweb.selectors.win_rate import win_rate_page
from lionweb.views.iteration_number import iteration_number


@require_GET
def experiment_win_rate(request: HttpRequest, pk: int) -> HttpResponse:
    experiment = get_object_or_404(Experiment, pk=pk)
    iteration = choose(list(experiment.iterations.order_by("number")), iteration_number(request))
    if iteration is None:
        raise Http404("Nothing was compared yet.")
    shown = {"experiment": experiment, "iteration": iteration, "page": win_rate_page(iteration)}
    return render(request, "experiments/win_rate.html", shown)
