from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from lionweb.models import Instruction
from lionweb.selectors.approvals import leaks_of
from lionweb.selectors.instruction import instruction_page


@require_GET
def instruction(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        page = instruction_page(pk, experiment=_number(request, "experiment"), response=_number(request, "response"))
    except Instruction.DoesNotExist as error:
        raise Http404("There is no such instruction.") from error
    shown = {"page": page, "instruction": page.instruction, "leaks": leaks_of([pk]).get(pk, ())}
    return render(request, "instructions/instruction.html", shown)


def _number(request: HttpRequest, name: str) -> int | None:
    """A choice of what to show first; one that means nothing is passed over."""
    value = request.GET.get(name, "")
    return int(value) if value.isdecimal() and len(value) <= 18 else None
