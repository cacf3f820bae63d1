from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from distill.errors import DistillError
from lionweb.models import Experiment, Iteration, Role
from lionweb.permissions import needs, signed_in
from lionweb.services.budget import raise_budget
from lionweb.services.errors import Refused

MOST_DIGITS = 9


@needs(Role.RESEARCHER)
@require_POST
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """Set the budgets of the experiment and of one iteration; what paused for them goes on."""
    experiment = get_object_or_404(Experiment, pk=pk)
    try:
        with transaction.atomic():
            _change(request, experiment)
    except DistillError as error:
        messages.error(request, str(error))
    return redirect("experiment", pk=pk)


def _change(request: HttpRequest, experiment: Experiment) -> None:
    number = request.POST.get("iteration", "")
    if len(number) > MOST_DIGITS:
        raise Http404("An iteration is named by its number.")
    iteration = get_object_or_404(Iteration, experiment=experiment, number=number) if number.isdecimal() else None
    wanted: list[tuple[Iteration | None, float | None]] = []
    if "usd" in request.POST:
        wanted.append((None, _amount(request.POST["usd"])))
    if iteration and "iteration_usd" in request.POST:
        wanted.append((iteration, _amount(request.POST["iteration_usd"])))
    changes = [(one, usd) for one, usd in wanted if (one or experiment).budget_usd != usd]
    if not changes:
        messages.info(request, "The budget is as it was.")
        return
    for at, (one, usd) in enumerate(changes, 1):
        raise_budget(experiment=experiment, actor=signed_in(request), usd=usd, iteration=one, go_on=at == len(changes))
    messages.success(request, "The budget is saved.")


def _amount(text: str) -> float | None:
    """None for an empty field: no limit."""
    if not text.strip():
        return None
    try:
        return float(text)
    except ValueError as error:
        raise Refused(f"{text[:40]!r} is no amount of money.", "Enter US dollars, such as 12.50.") from error
