from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from lionweb.permissions import signed_in
from lionweb.selectors.agreement import KINDS, agreement_page
from lionweb.views.iteration_of import iteration_of


@require_GET
def agreement(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    iteration = iteration_of(pk, number)
    page = agreement_page(iteration, signed_in(request))
    shown = {"page": page, "kinds": KINDS, "iteration": iteration, "experiment": iteration.experiment}
    return render(request, "agreement/agreement.html", shown)
