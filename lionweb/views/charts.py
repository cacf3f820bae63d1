from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from lionweb.models import Experiment
from lionweb.selectors.charts import charts
from lionweb.selectors.experiment import choose
from lionweb.views.iteration_number import iteration_number


@require_GET
def experiment_charts(request: HttpRequest, pk: int) -> JsonResponse:
    experiment = get_object_or_404(Experiment, pk=pk)
    iteration = choose(list(experiment.iterations.order_by("number")), iteration_number(request))
    return JsonResponse(charts(experiment, iteration))
