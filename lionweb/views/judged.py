from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from distill.errors import DistillError
from distill.judged_files import JudgedFile
from lionweb.forms.judged import JudgedForm
from lionweb.forms.upload import too_large
from lionweb.models import Experiment, Role
from lionweb.permissions import needs, signed_in
from lionweb.services.evaluations import BadItems
from lionweb.services.judged import AlreadyImported, Wanted, import_judged


@csrf_exempt  # checked in _upload: the check reads the whole body, and files over the limit are refused unread
@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    error = too_large(request, "Split them, or use ./lion import-judged.")
    return _page(request, JudgedForm(), error, status=413) if error else _upload(request)


@csrf_protect
def _upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, JudgedForm())
    form = JudgedForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        made = _import(request, form)
    except AlreadyImported as known:
        messages.info(request, str(known))
        return redirect("experiment", pk=known.experiment.pk)
    except DistillError as error:
        return _page(request, form, error, status=422)
    messages.success(request, f"{made.pool.rows:,} judged pairs were imported.")
    return redirect("experiment", pk=made.pk)


def _import(request: HttpRequest, form: JudgedForm) -> Experiment:
    given = dict(form.cleaned_data)
    files = [JudgedFile(one.name, one.file) for one in given.pop("pairs")]
    return import_judged(
        files=files,
        wanted=Wanted(owner=signed_in(request), **given),
        max_instruction=settings.INSTRUCTION_MAX_CHARACTERS,
    )


def _page(request: HttpRequest, form: JudgedForm, error: DistillError | None = None, status: int = 200) -> HttpResponse:
    shown = {"form": form, "error": error, "bad_items": error if isinstance(error, BadItems) else None}
    return render(request, "judged/upload.html", shown, status=status)
