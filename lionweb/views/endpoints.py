from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from distill.errors import DistillError
from lionweb.forms.endpoint import EndpointForm
from lionweb.models import Endpoint, EndpointSource, Role
from lionweb.permissions import needs, signed_in
from lionweb.selectors.endpoints import endpoint_rows
from lionweb.services.endpoints import check as check_endpoint
from lionweb.services.endpoints import save_endpoint


@require_GET
def endpoints(request: HttpRequest) -> HttpResponse:
    return render(request, "endpoints/list.html", {"rows": endpoint_rows()} | _rights(request))


@sensitive_post_parameters("api_key")
@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    return _edit(request, None)


@sensitive_post_parameters("api_key")
@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    endpoint = get_object_or_404(Endpoint, pk=pk)
    if endpoint.source != EndpointSource.PERSON:
        raise Http404("This endpoint is set by the installation and cannot be edited here.")
    return _edit(request, endpoint)


def _edit(request: HttpRequest, endpoint: Endpoint | None) -> HttpResponse:
    form = EndpointForm(request.POST or None, instance=Endpoint.objects.get(pk=endpoint.pk) if endpoint else None)
    if request.method == "POST" and form.is_valid():
        try:
            saved = save_endpoint(actor=signed_in(request), endpoint=endpoint, **form.cleaned_data)
        except DistillError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{saved.name} is saved. Check it before an experiment relies on it.")
            return redirect("endpoints")
    status = 422 if form.errors else 200
    return render(request, "endpoints/edit.html", {"form": form, "endpoint": endpoint}, status=status)


@needs(Role.RESEARCHER)
@require_POST
def check(request: HttpRequest, pk: int) -> HttpResponse:
    """A few small paid calls; the answer is the row of the list with what they found."""
    endpoint = get_object_or_404(Endpoint, pk=pk)
    outcome: dict[str, Any] = {}
    try:
        outcome["report"] = check_endpoint(endpoint=endpoint, actor=signed_in(request))
    except DistillError as error:
        outcome["failure"] = error
    if request.headers.get("HX-Request"):
        row = endpoint_rows(endpoint.pk)[0]
        return render(request, "endpoints/_endpoint.html", {"row": row, "checked": outcome} | _rights(request))
    rows = endpoint_rows()
    shown = {"rows": rows, "checked": outcome, "checked_id": endpoint.pk} | _rights(request)
    return render(request, "endpoints/list.html", shown)


def _rights(request: HttpRequest) -> dict[str, bool]:
    return {"may_edit": signed_in(request).may(Role.RESEARCHER)}
