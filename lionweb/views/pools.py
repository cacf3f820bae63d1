from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from distill.errors import DistillError
from lionweb.forms.pool import PoolForm
from lionweb.forms.upload import too_large
from lionweb.models import Pool, Role
from lionweb.permissions import needs, signed_in
from lionweb.selectors.pools import pool_page, pool_rows
from lionweb.services.pools import BadLines, import_pool


@require_GET
def pools(request: HttpRequest) -> HttpResponse:
    shown = {"rows": pool_rows(), "may_upload": signed_in(request).may(Role.RESEARCHER)}
    return render(request, "pools/list.html", shown)


@require_GET
def pool(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        page = pool_page(pk)
    except Pool.DoesNotExist as error:
        raise Http404("There is no such pool.") from error
    return render(request, "pools/pool.html", {"page": page, "row": page.row})


@csrf_exempt  # checked in _upload: the check reads the whole body, and a file over the limit is refused unread
@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def upload(request: HttpRequest) -> HttpResponse:
    error = too_large(request, "Split it into several pools, or ask an administrator to raise UPLOAD_MAX_BYTES.")
    return _page(request, PoolForm(), error, status=413) if error else _upload(request)


@csrf_protect
def _upload(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, PoolForm())
    form = PoolForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        made = _import(request, form)
    except DistillError as error:
        return _page(request, form, error, status=422)
    messages.success(request, f"{made.rows:,} instructions were imported into {made.name}.")
    there = reverse("pool", args=[made.pk])
    return HttpResponseClientRedirect(there) if request.headers.get("HX-Request") else redirect(there)


def _import(request: HttpRequest, form: PoolForm) -> Pool:
    given = form.cleaned_data
    return import_pool(
        stream=given["file"].file,
        filename=given["file"].name,
        name=given["name"],
        kind=given["kind"],
        actor=signed_in(request),
        keep_good=given["bad_lines"] == "keep",
    )


def _page(request: HttpRequest, form: PoolForm, error: DistillError | None = None, status: int = 200) -> HttpResponse:
    """The form with what is wrong. With htmx the answer is the outcome alone, so that the chosen file stays chosen."""
    shown: dict[str, Any] = {
        "form": form,
        "error": error,
        "bad_lines": error if isinstance(error, BadLines) else None,
        "max_bytes": settings.UPLOAD_MAX_BYTES,
        "max_characters": settings.INSTRUCTION_MAX_CHARACTERS,
    }
    alone = request.headers.get("HX-Request")
    # htmx swaps in successful answers only.
    return render(
        request, "pools/_outcome.html" if alone else "pools/upload.html", shown, status=200 if alone else status
    )
