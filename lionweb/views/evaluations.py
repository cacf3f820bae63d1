from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from distill.errors import DistillError
from lionweb.forms.evaluation import EvaluationForm
from lionweb.forms.upload import too_large
from lionweb.models import EvaluationSet, Role
from lionweb.permissions import needs, signed_in
from lionweb.selectors.evaluations import evaluation_rows
from lionweb.services.evaluations import BadItems, import_evaluation_set, remove_evaluation_set


@require_GET
def evaluations(request: HttpRequest) -> HttpResponse:
    person = signed_in(request)
    shown = {
        "rows": evaluation_rows(),
        "may_upload": person.may(Role.RESEARCHER),
        "may_remove": person.may(Role.ADMIN),
    }
    return render(request, "evaluations/list.html", shown)


@csrf_exempt  # checked in _upload: the check reads the whole body, and a file over the limit is refused unread
@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    error = too_large(request, "Split it into several sets.")
    return _page(request, EvaluationForm(), error, status=413) if error else _upload(request)


@csrf_protect
def _upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, EvaluationForm())
    form = EvaluationForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form, status=422)
    file, name = form.cleaned_data["file"], form.cleaned_data["name"]
    try:
        made = import_evaluation_set(stream=file.file, filename=file.name, name=name, actor=signed_in(request))
    except DistillError as error:
        return _page(request, form, error, status=422)
    items = "1 item was" if made.items == 1 else f"{made.items:,} items were"
    messages.success(request, f"{items} imported as {made.name}. All instructions are compared with them now.")
    return redirect("evaluations")


@needs(Role.ADMIN)
@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(EvaluationSet, pk=pk)
    remove_evaluation_set(evaluation_set=found, actor=signed_in(request))
    messages.success(request, f"{found.name} was removed, and with it every mark of an overlap.")
    return redirect("evaluations")


def _page(
    request: HttpRequest, form: EvaluationForm, error: DistillError | None = None, status: int = 200
) -> HttpResponse:
    shown = {"form": form, "error": error, "bad_items": error if isinstance(error, BadItems) else None}
    return render(request, "evaluations/upload.html", shown, status=status)
