from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from lionweb.formula_safe import csv_lines
from lionweb.models import Role
from lionweb.permissions import needs
from lionweb.selectors.audit_log import EXPORT_HEADER, AuditState, audit_choices, audit_page, exported
from lionweb.views import asked


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
        actor=asked.number(request, "actor"),
        experiment=asked.number(request, "experiment"),
        since=asked.day(request, "since"),
        until=asked.day(request, "until"),
    )
