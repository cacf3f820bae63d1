from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from lionweb.models import Iteration
from lionweb.permissions import signed_in
from lionweb.selectors.agreement import KINDS, agreement_page
from lionweb.selectors.iteration_of import iteration_of


@require_GET
def agreement(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    try:
        iteration = iteration_of(pk, number)
    except Iteration.DoesNotExist as error:
        raise Http404("There is no such iteration.") from error
    page = agreement_page(iteration, signed_in(request))
    shown = {"page": page, "kinds": KINDS, "iteration": iteration, "experiment": iteration.experiment}
    return render(request, "agreement/agreement.html", shown)
