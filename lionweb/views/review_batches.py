"""One decision on many items of the review list, and taking it back."""

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_POST

from distill.errors import DistillError
from lionweb.models import Classification, DecisionBatch, DecisionKind, Role
from lionweb.permissions import needs, signed_in
from lionweb.review_filters import DECISIONS
from lionweb.selectors import review_queue as queued
from lionweb.services.review_batches import MOST, Batch, decide_many, undo_batch
from lionweb.views.review_desk import Desk, desk_at, stage_at


@needs(Role.RESEARCHER)
@require_POST
def decide(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Fields: `kind`, `query`, and either `all`, for what its filters show, or `chosen` items."""
    desk = desk_at(stage_at(pk, number), QueryDict(request.POST.get("query", "")))
    kind = request.POST.get("kind", "")
    if kind not in DECISIONS:
        raise BadRequest(f"kind must be one of {', '.join(DECISIONS)}.")
    iteration = desk.stage.iteration
    try:
        made = decide_many(iteration=iteration, person=signed_in(request), kind=kind, rows=_rows(request, desk))
    except DistillError as failure:
        messages.error(request, str(failure))
    else:
        _tell(request, made)
    return redirect(desk.url())


@needs(Role.RESEARCHER)
@require_POST
def undo(request: HttpRequest, pk: int) -> HttpResponse:
    batch = get_object_or_404(DecisionBatch.objects.select_related("iteration__experiment"), pk=pk)
    desk = desk_at(
        stage_at(batch.iteration.experiment_id, batch.iteration.number), QueryDict(request.POST.get("query", ""))
    )
    try:
        count = undo_batch(batch=batch, person=signed_in(request))
        messages.success(request, f"{count:,} {'decision is' if count == 1 else 'decisions are'} taken back.")
    except DistillError as failure:
        messages.error(request, str(failure))
    return redirect(desk.url())


def _rows(request: HttpRequest, desk: Desk) -> QuerySet[Classification]:
    if request.POST.get("all"):
        return queued.queue(desk.stage.iteration, desk.filters)
    words = request.POST.getlist("chosen")[: MOST + 1]
    return Classification.objects.filter(pk__in=[int(one) for one in words if one.isdecimal() and len(one) < 19])


def _tell(request: HttpRequest, made: Batch) -> None:
    left = ", ".join(f"{count:,} {why}" for why, count in made.left_out.items())
    if made.kept is None:
        messages.warning(request, f"Nothing was decided. Left out: {left}." if left else "No item was selected.")
        return
    items = "1 item is" if made.count == 1 else f"{made.count:,} items are"
    said = f"{items} decided: {DecisionKind(made.kept.kind).label.lower()}."
    messages.success(request, f"{said} Left out: {left}." if left else said)
