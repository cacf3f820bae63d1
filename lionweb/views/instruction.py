from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from distill.errors import DistillError
from lionweb.forms.instruction import InstructionForm
from lionweb.models import Instruction, Role
from lionweb.permissions import needs, signed_in
from lionweb.selectors.approvals import leaks_of
from lionweb.selectors.history import history_of
from lionweb.selectors.instruction import instruction_page
from lionweb.services.instructions import delete_instruction, edit_instruction, restore_instruction


@require_GET
def instruction(request: HttpRequest, pk: int) -> HttpResponse:
    reader = signed_in(request)
    chosen = {name: _number(request, name) for name in ("experiment", "response")}
    try:
        page = instruction_page(pk, reader=reader, **chosen)
    except Instruction.DoesNotExist as error:
        raise Http404("There is no such instruction.") from error
    shown = {"page": page, "instruction": page.instruction, "history": history_of(page.instruction, reader)}
    shown["leaks"] = leaks_of([pk]).get(pk, ())
    shown["may_change"] = reader.may(Role.RESEARCHER)
    return render(request, "instructions/instruction.html", shown)


@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Instruction, pk=pk)
    names = ("text", "input", "category", "language")
    form = InstructionForm(request.POST or None, initial={name: getattr(found, name) for name in names})
    if request.method == "POST" and form.is_valid():
        try:
            now = edit_instruction(actor=signed_in(request), instruction=found, **form.cleaned_data)
        except DistillError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"Instruction {now.pk} takes its place." if now.pk != pk else "Saved.")
            return redirect("instruction", pk=now.pk)
    status = 422 if form.is_bound else 200
    return render(request, "instructions/edit.html", {"form": form, "instruction": found}, status=status)


@needs(Role.RESEARCHER)
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    return _change(request, pk, delete_instruction, "The instruction is deleted. It can be restored here.")


@needs(Role.RESEARCHER)
@require_POST
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    return _change(request, pk, restore_instruction, "The instruction is restored.")


def _change(request: HttpRequest, pk: int, service: Callable[..., None], done: str) -> HttpResponse:
    try:
        service(actor=signed_in(request), instruction=get_object_or_404(Instruction, pk=pk))
        messages.success(request, done)
    except DistillError as error:
        messages.error(request, str(error))
    return redirect("instruction", pk=pk)


def _number(request: HttpRequest, name: str) -> int | None:
    """A choice of what to show first; one that means nothing is passed over."""
    value = request.GET.get(name, "")
    return int(value) if value.isdecimal() and len(value) <= 18 else None
