from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from lionweb.formula_safe import csv_lines
from lionweb.models import Experiment
from lionweb.selectors.ledger import (
    EXPORT_HEADER,
    LedgerState,
    exported,
    ledger_choices,
    ledger_page,
    ledger_totals,
)
from lionweb.selectors.reuse import saved_by_reuse
from lionweb.views import asked


@require_GET
def ledger(request: HttpRequest) -> HttpResponse:
    state = _state(request)
    known = Experiment.objects.select_related("endpoint")
    chosen = known.filter(pk=state.experiment).first() if state.experiment else None
    shown = {
        "state": state,
        "page": ledger_page(state),
        "totals": ledger_totals(state),
        "choices": ledger_choices(),
        "kept": state.query(after="", before=""),
        "chosen": chosen,
        "saved": saved_by_reuse(chosen) if chosen else None,
    }
    return render(request, "bill/ledger.html", shown)


@require_GET
def ledger_csv(request: HttpRequest) -> HttpResponseBase:
    """All that the filters let through, streamed."""
    lines = csv_lines(EXPORT_HEADER, exported(_state(request)))
    response = StreamingHttpResponse(lines, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="ledger-{timezone.localdate():%Y-%m-%d}.csv"'
    return response


def _state(request: HttpRequest) -> LedgerState:
    """What the URL says; a number or a day that is none is refused."""
    names = ("purpose", "outcome", "after", "before")
    text = {name: request.GET.get(name, "").replace("\0", "").strip() for name in names}
    return LedgerState(
        **text,
        experiment=asked.number(request, "experiment"),
        endpoint=asked.number(request, "endpoint"),
        since=asked.day(request, "since"),
        until=asked.day(request, "until"),
    )
