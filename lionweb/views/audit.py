from datetime import date

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from lionweb.formula_safe import csv_lines
from lionweb.models import Role
from lionweb.permissions import needs
from lionweb.selectors.audit_log import EXPORT_HEADER, AuditState, audit_choices, audit_page, exported

MOST_DIGITS = 9


@needs(Role.RESEARCHER)
@require_GET
def audit(request: HttpRequest) -> HttpResponse:
    state = _state(request)
    shown = {"state": state, "page": audit_page(state), "choices": audit_choices()}
    return render(request, "audit/log.html", shown | {"kept": state.query(after="", before="")})


@needs(Role.RESEARCHER)
@require_GET
def audit_csv(request: HttpRequest) -> HttpResponseBase:
    """All that the filters let through, streamed."""
    lines = csv_lines(EXPORT_HEADER, exported(_state(request)))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="audit-{timezone.localdate():%Y-%m-%d}.csv"'
    return response


def _state(request: HttpRequest) -> AuditState:
    """What the URL says; a number or a day that is none is refused."""
    names = ("action", "target_type", "target", "after", "before")
    text = {name: request.GET.get(name, "").replace("\0", "").strip() for name in names}
    return AuditState(
        **text,
        actor=_number(request, "actor"),
        experiment=_number(request, "experiment"),
        since=_day(request, "since"),
        until=_day(request, "until"),
    )


def _number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "").strip()
    if not value:
        return None
    if not value.isdecimal() or len(value) > MOST_DIGITS:
        raise BadRequest(f"{name} must be a number.")
    return int(value)


def _day(request: HttpRequest, name: str) -> date | None:
    value = request.GET.get(name, "").strip()
    if not value:
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError as error:
        raise BadRequest(f"{name} must be a day such as 2026-01-31.") from error
    if not 1970 <= found.year <= 9000:
        raise BadRequest(f"{name} is out of range.")
    return found
