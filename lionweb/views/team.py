from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from lionweb.selectors.team import team
from lionweb.views.iteration_of import iteration_of


@require_GET
def review_team(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The panel of the review page, fetched again every few seconds."""
    iteration = iteration_of(pk, number)
    shown = {"team": team(iteration), "iteration": iteration, "experiment": iteration.experiment}
    return render(request, "review/_team.html", shown)
