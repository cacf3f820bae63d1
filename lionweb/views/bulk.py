from collections.abc import Callable

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from distill.errors import DistillError
from lionweb.models import BulkJob, Pool, Role
from lionweb.permissions import needs, signed_in
from lionweb.selectors.bulk import all_jobs, shown_jobs
from lionweb.services.bulk import cancel_bulk, start_bulk, undo_bulk

CHANGED = "pool-changed"
"""Tells the page that what it lists has changed."""


@needs(Role.RESEARCHER)
@require_POST
def start(request: HttpRequest) -> HttpResponse:
    """The selected instructions, or with `all` every one that the list's query shows."""
    said = request.POST
    try:
        start_bulk(
            actor=signed_in(request),
            action=said.get("action", ""),
            value=said.get("value", ""),
            pool=_pool(said.get("pool", "")),
            new_pool=said.get("new_pool", ""),
            ids=[_number(value) for value in said.getlist("ids")],
            query=said.get("query", "") if said.get("all") else None,
        )
    except DistillError as error:
        return _answer(request, error)
    return _answer(request)


def _pool(said: str) -> Pool | None:
    return get_object_or_404(Pool.objects.defer("problems"), pk=_number(said)) if said else None


def _number(value: str) -> int:
    if not value.isdecimal() or len(value) > 18:
        raise BadRequest("An instruction or pool must be given by its number.")
    return int(value)


@require_GET
def jobs(request: HttpRequest) -> HttpResponse:
    """The person's jobs as they stand; asked for again and again while one is open."""
    answer, polls = _jobs(request)
    if not polls:
        answer["HX-Trigger"] = CHANGED
    return answer


@require_GET
def changes(request: HttpRequest) -> HttpResponse:
    return render(request, "pools/changes.html", {"jobs": all_jobs(signed_in(request))})


@needs(Role.RESEARCHER)
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, cancel_bulk)


@needs(Role.RESEARCHER)
@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    return _decide(request, pk, undo_bulk)


def _decide(request: HttpRequest, pk: int, service: Callable[..., None]) -> HttpResponse:
    job = get_object_or_404(BulkJob, pk=pk)
    try:
        service(actor=signed_in(request), job=job)
    except DistillError as error:
        return _answer(request, error)
    return _answer(request)


def _answer(request: HttpRequest, error: DistillError | None = None) -> HttpResponse:
    if request.headers.get("HX-Request"):
        return _jobs(request, error)[0]
    if error:
        messages.error(request, str(error))
    there = request.POST.get("back", "")
    safe = url_has_allowed_host_and_scheme(there, allowed_hosts={request.get_host()})
    return redirect(there if safe else "changes")


def _jobs(request: HttpRequest, error: DistillError | None = None) -> tuple[HttpResponse, bool]:
    """The fragment, and whether it asks for itself again."""
    found = shown_jobs(signed_in(request))
    polls = any(one.is_open for one in found)
    return render(request, "pools/_jobs.html", {"jobs": found, "polls": polls, "error": error}), polls
