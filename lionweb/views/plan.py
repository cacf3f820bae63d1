from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_GET

from lionweb.models import Experiment
from lionweb.selectors.plan import plan_page
from lionweb.selectors.reuse import saved_by_reuse


@require_GET
def plan(request: HttpRequest, pk: int) -> HttpResponse:
    experiment = get_object_or_404(Experiment.objects.select_related("endpoint", "pool", "heldout_pool"), pk=pk)
    shown = {"page": plan_page(experiment), "saved": saved_by_reuse(experiment)}
    return render(request, "bill/plan.html", shown)
