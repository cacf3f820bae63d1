from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from lionweb.models import Iteration
from lionweb.selectors.iteration_of import iteration_of
from lionweb.selectors.team import team


@require_GET
def review_team(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """The panel of the review page, fetched again every few seconds."""
    try:
        iteration = iteration_of(pk, number)
    except Iteration.DoesNotExist as error:
        raise Http404("There is no such iteration.") from error
    shown = {"team": team(iteration), "iteration": iteration, "experiment": iteration.experiment}
    return render(request, "review/_team.html", shown)
