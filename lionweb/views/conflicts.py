from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from distill.errors import DistillError
from lionweb.models import OPINIONS, Classification, Decision, DecisionKind, Iteration, Role
from lionweb.permissions import needs, signed_in
from lionweb.selectors.agreement import KINDS
from lionweb.selectors.conflicts import conflicts_page
from lionweb.services import conflicts as service
from lionweb.services.reviews import undo
from lionweb.views.iteration_of import iteration_of


@require_GET
def conflicts(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    return _page(request, iteration_of(pk, number))


@needs(Role.RESEARCHER)
@require_POST
def resolve(request: HttpRequest, pk: int) -> HttpResponse:
    """Fields `kind`, `seen`, and optionally `comment`, `corrected` and `corrected_from` (a decision's number)."""
    item = _item(pk)
    kind, source = request.POST.get("kind", ""), request.POST.get("corrected_from", "")
    if kind not in OPINIONS:
        raise BadRequest("kind must be a decision such as hard or easy.")
    try:
        service.resolve(
            classification=item,
            person=signed_in(request),
            kind=DecisionKind(kind),
            comment=request.POST.get("comment", ""),
            corrected=request.POST.get("corrected", ""),
            corrected_from=int(source) if source.isdecimal() and len(source) <= 18 else None,
            seen=request.POST.get("seen", ""),
        )
    except DistillError as error:
        return _page(request, item.iteration, failure=error, failed=_again(request, item), status=409)
    messages.success(request, f"The conflict about instruction {item.instruction_id} is resolved.")
    return redirect("conflicts", item.iteration.experiment_id, item.iteration.number)


@needs(Role.RESEARCHER)
@require_POST
def reopen(request: HttpRequest, pk: int) -> HttpResponse:
    """Takes one's own resolution back."""
    item = _item(pk)
    live = Decision.objects.filter(classification=item, is_resolution=True, undone_at__isnull=True)
    try:
        undo(person=signed_in(request), decision=get_object_or_404(live, person=signed_in(request)))
    except DistillError as error:
        messages.error(request, str(error))
    return redirect("conflicts", item.iteration.experiment_id, item.iteration.number)


def _item(pk: int) -> Classification:
    related = ("iteration__experiment__owner", "instruction", "teacher_response", "student_response")
    return get_object_or_404(Classification.objects.select_related(*related), pk=pk)


def _again(request: HttpRequest, item: Classification) -> dict[str, Any]:
    """The refused item's number with what was typed, so that nothing is lost even where it is no conflict any more."""
    typed = {name: request.POST.get(name, "") for name in ("kind", "comment", "corrected", "corrected_from")}
    return {"item": item.pk, "typed": typed}


def _page(request: HttpRequest, iteration: Iteration, status: int = 200, **shown: Any) -> HttpResponse:
    number = request.GET.get("page", "1")
    page = conflicts_page(iteration, signed_in(request), int(number) if number.isdecimal() and len(number) < 7 else 1)
    shown |= {"page": page, "kinds": KINDS, "iteration": iteration, "experiment": iteration.experiment}
    return render(request, "conflicts/conflicts.html", shown, status=status)
