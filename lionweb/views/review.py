"""The review queue: one item at a time, alone or beside the list, and what a person decides on it."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from distill.errors import DistillError
from lionweb.models import EXCLUDING, OPEN_STATES, Classification, DecisionBatch, DecisionKind, Role, StageStatus
from lionweb.permissions import needs, signed_in
from lionweb.review_filters import DECISIONS, VERDICTS, states_shown
from lionweb.selectors import review_queue as queued
from lionweb.selectors.review import ReviewItem, review_item, teacher_stands_left
from lionweb.services import gates, reviews
from lionweb.services.assignments import may_review
from lionweb.services.errors import Refused
from lionweb.services.review_batches import MOST, last_batch, undo_batch
from lionweb.services.review_locks import refresh, release, take, take_next
from lionweb.views.review_desk import Desk, desk_at, row_at, stage_at, stage_of

BLIND_KINDS = ("left", "right", "equal")
KINDS = (*DecisionKind.values, "accept", *BLIND_KINDS)


@require_GET
def review(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """`item` shows a certain one; without it work goes on at the first that waits for this person."""
    desk = desk_at(stage_at(pk, number), request.GET)
    chosen = request.GET.get("item", "")
    item, failure = _item_asked(request, desk, chosen) if chosen else (_first(request, desk), None)
    return _show(request, desk, item, failure=failure)


@needs(Role.ANNOTATOR)
@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Fields: `kind`, `comment`, `corrected`, `seconds`, `seen`, and `query`, the address to go on with."""
    row = row_at(pk)
    desk = desk_at(stage_of(row), QueryDict(request.POST.get("query", "")))
    try:
        reviews.decide(
            classification=row,
            person=signed_in(request),
            kind=_kind(request, row, desk),
            comment=request.POST.get("comment", ""),
            corrected=request.POST.get("corrected", ""),
            seconds=_seconds(request.POST.get("seconds", "")),
            seen=request.POST.get("seen"),
        )
    except DistillError as failure:
        typed = {name: request.POST.get(name, "") for name in ("comment", "corrected")}
        return _show(request, desk, pk, failure=failure, typed=typed)
    answer = _go(request, desk, _next_after(request, desk, row))
    answer["HX-Trigger"] = "review-saved, review-changed"
    return answer


@needs(Role.ANNOTATOR)
@require_POST
def undo(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Take the last decision back and show its item."""
    desk = desk_at(stage_at(pk, number), QueryDict(request.POST.get("query", "")))
    batch = last_batch(person=signed_in(request), iteration=desk.stage.iteration)
    try:
        if batch:
            return _undo_batch(request, desk, batch)
        row = reviews.undo(person=signed_in(request), iteration=desk.stage.iteration)
    except DistillError as failure:
        asked = request.POST.get("item", "")
        return _show(request, desk, int(asked) if _is_id(asked) else None, failure=failure)
    answer = _go(request, desk, row.pk)
    answer["HX-Trigger"] = "review-changed"
    return answer


def _undo_batch(request: HttpRequest, desk: Desk, batch: DecisionBatch) -> HttpResponse:
    count = undo_batch(batch=batch, person=signed_in(request))
    messages.success(request, f"{count:,} {'decision is' if count == 1 else 'decisions are'} taken back.")
    if not request.headers.get("HX-Request"):
        return redirect(desk.url())
    return HttpResponse(headers={"HX-Redirect": desk.url()})


@needs(Role.ANNOTATOR)
@require_POST
def keep(request: HttpRequest, pk: int) -> HttpResponse:
    """A sign of life from an open page: 204, or 409 and why the item is lost."""
    try:
        refresh(classification=row_at(pk), person=signed_in(request))
    except Refused as failure:
        return HttpResponse(str(failure), status=409, content_type="text/plain; charset=utf-8")
    return HttpResponse(status=204)


@needs(Role.ANNOTATOR)
@require_POST
def put_back(request: HttpRequest, pk: int) -> HttpResponse:
    row = row_at(pk)
    release(classification=row, person=signed_in(request))
    messages.success(request, f"Item {pk} is free for others.")
    return redirect("experiment", row.iteration.experiment_id)


@require_GET
def progress(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    stage = stage_at(pk, number)
    shown = {"progress": queued.own_progress(stage.iteration, signed_in(request)), "stage": stage}
    return render(request, "review/_progress.html", shown | {"iteration": stage.iteration})


@require_GET
def text(request: HttpRequest, pk: int, side: str) -> HttpResponse:
    """A whole answer as plain text; in blind mode asked for by its side."""
    row = row_at(pk)
    desk = desk_at(stage_of(row), request.GET)
    blind = desk.is_blind
    if side not in (("left", "right") if blind else ("teacher", "student")):
        raise Http404("There is no such answer.")
    if blind:
        left = teacher_stands_left(pk, signed_in(request), desk.look, blind=True)
        side = "teacher" if (side == "left") == left else "student"
    return HttpResponse(queued.whole_text(row, side), content_type="text/plain; charset=utf-8")


@needs(Role.RESEARCHER)
@require_http_methods(["GET", "HEAD", "POST"])
def close(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """Shows what is open and what the policy says of it; a post closes the gate."""
    stage = stage_at(pk, number)
    if request.method != "POST":
        shown = {"closing": queued.closing(stage), "stage": stage, "iteration": stage.iteration}
        return render(request, "review/close.html", shown | {"experiment": stage.iteration.experiment})
    try:
        gates.close_review(stage=stage, actor=signed_in(request))
    except DistillError as failure:
        messages.error(request, str(failure))
        return redirect("review-close", pk, number)
    messages.success(request, f"The gate is closed and iteration {number} goes on.")
    return redirect("experiment", pk)


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= 18


def _item_asked(request: HttpRequest, desk: Desk, word: str) -> tuple[int, DistillError | None]:
    """The item of the address, locked if it is free; else why it is not, and it is shown all the same."""
    found = Classification.objects.filter(pk=int(word) if _is_id(word) else 0, iteration=desk.stage.iteration)
    row = found.first()
    if row is None:
        raise Http404("There is no such item in this queue.")
    if row.review_state not in OPEN_STATES or not _may_decide(request, desk):
        return row.pk, None
    try:
        take(classification=row, person=signed_in(request))
    except Refused as failure:
        return row.pk, failure
    return row.pk, None


def _may_decide(request: HttpRequest, desk: Desk) -> bool:
    return not desk.is_closed and may_review(signed_in(request), desk.stage.iteration.experiment)


def _first(request: HttpRequest, desk: Desk) -> int | None:
    if desk.filters.show == "open" and _may_decide(request, desk):
        item = take_next(iteration=desk.stage.iteration, person=signed_in(request), filters=desk.filters)
        return item.pk if item else None
    return queued.first_shown(desk.stage.iteration, desk.filters)


def _next_after(request: HttpRequest, desk: Desk, row: Classification) -> int | None:
    """The next that waits, from this place to the end of the queue and then from its beginning."""
    if desk.filters.show != "open":
        rows = queued.queue(desk.stage.iteration, desk.filters)
        return queued.neighbours(row, rows)[1]
    who: dict[str, Any] = {
        "iteration": desk.stage.iteration,
        "person": signed_in(request),
        "filters": desk.filters,
    }
    item = take_next(**who, after=row) or take_next(**who)
    return item.pk if item else None


def _kind(request: HttpRequest, row: Classification, desk: Desk) -> str:
    """The decision that a button stands for."""
    word = request.POST.get("kind", "")
    if word not in KINDS:
        raise BadRequest(f"kind must be one of {', '.join(KINDS)}.")
    if word == "accept":
        if desk.is_blind or row.referee_verdict not in DecisionKind.values:
            raise Refused("There is no verdict of the referee to accept here.", "Decide for yourself.")
        return row.referee_verdict
    if word not in BLIND_KINDS:
        return word
    left = teacher_stands_left(row.pk, signed_in(request), desk.look, blind=True)
    teacher_is_better = word != "equal" and (word == "left") == left
    return DecisionKind.HARD if teacher_is_better else DecisionKind.EASY


def _seconds(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None


def _go(request: HttpRequest, desk: Desk, item: int | None) -> HttpResponse:
    """On to an item: with htmx in the same answer, without it by its address."""
    if request.headers.get("HX-Request"):
        return _show(request, desk, item)
    return redirect(desk.url(item))


def _show(
    request: HttpRequest,
    desk: Desk,
    pk: int | None,
    *,
    failure: DistillError | None = None,
    typed: dict[str, str] | None = None,
) -> HttpResponse:
    person = signed_in(request)
    item = _item(request, desk, pk) if pk else None
    may = may_review(person, desk.stage.iteration.experiment)
    may_decide = may and not desk.is_closed
    shown = (
        _around(request, desk, item)
        | (_many(request, desk) if may_decide else {})
        | {
            "desk": desk,
            "item": item,
            "draft": typed or (item.draft if item else {}),
            "failure": failure,
            "may_decide": may_decide,
            "others_are_assigned": person.may(Role.ANNOTATOR) and not may,
            "may_close": person.may(Role.RESEARCHER) and desk.stage.status == StageStatus.WAITING,
            "states": states_shown(blind=desk.is_blind),
            "verdicts": VERDICTS,
            "decisions": DECISIONS,
            "other_view": desk.other_view(pk),
            "tau": desk.stage.iteration.tau,
            "stage": desk.stage,
            "iteration": desk.stage.iteration,
            "experiment": desk.stage.iteration.experiment,
        }
    )
    if not request.headers.get("HX-Request"):
        shown["progress"] = queued.own_progress(desk.stage.iteration, person)
        return render(request, "review/review.html", shown, status=409 if failure and typed is not None else 200)
    answer = render(request, "review/_work.html", shown)
    answer["HX-Replace-Url"] = desk.url(pk)
    return answer


def _item(request: HttpRequest, desk: Desk, pk: int) -> ReviewItem:
    try:
        return review_item(pk, signed_in(request), gates=desk.gates, look=desk.look, is_closed=desk.is_closed)
    except Classification.DoesNotExist as error:
        raise Http404("This item is no longer there: it was deleted meanwhile.") from error


def _many(request: HttpRequest, desk: Desk) -> dict[str, Any]:
    """Beside the list, what it takes to decide on many, for those who may decide."""
    person = signed_in(request)
    if not desk.as_list or not person.may(Role.RESEARCHER):
        return {}
    kinds = {name: words for name, words in DECISIONS.items() if name in EXCLUDING or not desk.is_blind}
    batch = last_batch(person=person, iteration=desk.stage.iteration)
    matching = queued.queue(desk.stage.iteration, desk.filters).values("pk")[: MOST + 1].count()
    return {"many_kinds": kinds, "last_batch": batch, "matching": matching, "most": MOST}


def _around(request: HttpRequest, desk: Desk, item: ReviewItem | None) -> dict[str, Any]:
    rows = queued.queue(desk.stage.iteration, desk.filters)
    if item is None:
        return {"skipped": queued.skipped_by(desk.stage.iteration, signed_in(request))}
    before, after = queued.neighbours(item.row, rows)
    return {
        "previous": desk.url(before) if before else "",
        "next": desk.url(after) if after else "",
        "here": desk.url(item.row.pk),
        "rows": [(row, desk.url(row.pk)) for row in queued.list_around(item.row, rows)] if desk.as_list else [],
        "toggles": {name: desk.toggled(name, item.row.pk) for name in ("diff", "raw", "swap")},
    }
