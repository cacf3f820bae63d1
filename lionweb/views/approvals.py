"""The approval gate: look, decide one by one or many at once, edit, take in what was dropped, undo, close."""

from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from distill.errors import DistillError
from distill.records import Difficulty
from distill.records import Instruction as Text
from lionweb import text_diff
from lionweb.models import Candidate, Membership, RejectReason, Role, Stage
from lionweb.permissions import needs, signed_in
from lionweb.selectors.approval_state import DROPPED, LEAKS, SHOWN, SORTS, ApprovalState, filtered, state_of
from lionweb.selectors.approvals import approval_item, approval_page, approval_stage, asked, open_counts
from lionweb.services import approvals, new_texts

MOST_SELECTED = 10_000
REJECT_CHOICES = RejectReason.choices
SAVED = "Saved, and compared again with the pools and the evaluation sets."


@require_GET
def approval(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    stage, state = _stage(pk, number), state_of(request.GET)
    return render(request, "approvals/approval.html", _shown(request, stage, state))


@needs(Role.ANNOTATOR)
@require_POST
def decide(request: HttpRequest, pk: int) -> HttpResponse:
    """Fields: `decision` approve or reject; for reject `reason` and `text`; `seen`, the last action shown."""
    candidate = _candidate(pk)
    approve, reason, text = _decision(request)
    failure = _try(
        lambda: approvals.decide(
            stage=_stage_of(candidate),
            candidate=candidate,
            actor=signed_in(request),
            approve=approve,
            reason=reason,
            text=text,
            seen=_seen(request),
        )
    )
    return _answer(request, candidate, failure)


@needs(Role.ANNOTATOR)
@require_POST
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Fields: `text`, `input`, `seen`; with `then` = approve it is approved as well."""
    candidate = _candidate(pk)
    stage, actor = _stage_of(candidate), signed_in(request)

    def act() -> None:
        sent = request.POST
        changed = partial(new_texts.edit, text=sent.get("text", ""), given=sent.get("input", ""), seen=_seen(request))
        changed(stage=stage, candidate=candidate, actor=actor)
        if sent.get("then") == "approve":
            approvals.decide(stage=stage, candidate=candidate, actor=actor, approve=True)

    failure = _try(act)
    return _answer(request, candidate, failure, notice="" if failure else SAVED)


@needs(Role.ANNOTATOR)
@require_POST
def keep(request: HttpRequest, pk: int) -> HttpResponse:
    candidate = _candidate(pk)
    stage = _stage_of(candidate)
    failure = _try(lambda: new_texts.keep_anyway(stage=stage, candidate=candidate, actor=signed_in(request)))
    if not failure:
        messages.success(request, "Taken in: it waits among the open ones, with what it is most similar to.")
    return _back(request, stage, failure)


@require_GET
def diff(request: HttpRequest, pk: int) -> HttpResponse:
    candidate = _candidate(pk)
    stage = _stage_of(candidate)
    item = _item(stage, candidate)
    parent, new = item.row.parent or candidate.parent, item.row.instruction
    try:
        pieces = text_diff.diff(Text(parent.text, parent.input).prompt, Text(new.text, new.input).prompt)
    except ValueError:
        pieces = None
    shown = {"pieces": pieces, "item": item, "iteration": stage.iteration, "experiment": stage.iteration.experiment}
    return render(
        request, "approvals/_diff.html" if request.headers.get("HX-Request") else "approvals/diff.html", shown
    )


@needs(Role.ANNOTATOR)
@require_http_methods(["GET", "POST"])
def many(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """GET says how many a rule would decide on; POST decides. Fields: the filters of the page, or `selected` with `candidate`s."""
    stage = _stage(pk, number)
    given = request.POST if request.method == "POST" else request.GET
    state = state_of(given)
    selected = [int(one) for one in given.getlist("candidate")[:MOST_SELECTED] if one.isdecimal() and len(one) < 19]
    by_hand = given.get("scope") == "selected"
    rows = asked(stage).filter(candidate__in=selected) if by_hand else filtered(asked(stage), state)
    if request.method == "GET":
        return _preview(request, stage, state, rows)
    approve, reason, text = _decision(request)
    done: list[int] = []
    rule = {"selected": len(selected)} if by_hand else state.rule

    def act() -> None:
        action = approvals.decide_many(
            stage=stage, rows=rows, actor=signed_in(request), approve=approve, rule=rule, reason=reason, text=text
        )
        done.append(action.count)

    failure = _try(act)
    if done:
        instructions = "1 instruction was" if done[0] == 1 else f"{done[0]:,} instructions were"
        messages.success(
            request, f"{instructions} {'approved' if approve else 'rejected'}. Undo takes it back in one step."
        )
    return _back(request, stage, failure)


@needs(Role.ANNOTATOR)
@require_POST
def undo(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    stage = _stage(pk, number)
    done: list[Any] = []
    failure = _try(lambda: done.append(approvals.undo(stage=stage, actor=signed_in(request))))
    if done:
        what = f"{done[0].count:,} decisions were" if not done[0].candidate_id else "Your last step was"
        messages.success(request, f"{what} taken back.")
    return _back(request, stage, failure, f"item-{done[0].candidate_id}" if done and done[0].candidate_id else "")


@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def close(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    """GET shows what is open and asks; POST closes."""
    stage = _stage(pk, number)
    if request.method == "GET":
        return render(request, "approvals/close.html", _frame(request, stage) | {"counts": open_counts(stage)})
    failure = _try(lambda: approvals.close(stage=stage, actor=signed_in(request)))
    if failure:
        messages.error(request, str(failure))
        return redirect("approval-gate", pk, number)
    messages.success(request, f"The gate is closed and iteration {number} goes on.")
    return redirect("experiment", pk)


def _preview(request: HttpRequest, stage: Stage, state: ApprovalState, rows: Any) -> HttpResponse:
    count = rows.filter(SHOWN["open"]).count()
    shown = _frame(request, stage) | {
        "state": state,
        "count": count,
        "kinds": list(Difficulty),
    }
    return render(
        request, "approvals/_count.html" if request.headers.get("HX-Request") else "approvals/rule.html", shown
    )


def _answer(request: HttpRequest, candidate: Candidate, failure: DistillError | None, notice: str = "") -> HttpResponse:
    """With htmx the item as it is now and the summary; else back to the list."""
    stage = _stage_of(candidate)
    if not request.headers.get("HX-Request"):
        if notice:
            messages.success(request, notice)
        return _back(request, stage, failure, f"item-{candidate.pk}")
    state = state_of(QueryDict(urlsplit(request.POST.get("next", "")).query).dict())
    shown = _shown(request, stage, state, summary_only=True)
    shown |= {"item": _item(stage, candidate), "failure": failure, "notice": notice, "with_summary": True}
    return render(request, "approvals/_item.html", shown)


def _shown(request: HttpRequest, stage: Stage, state: ApprovalState, *, summary_only: bool = False) -> dict[str, Any]:
    page = approval_page(stage, state) if not summary_only else None
    counts = page.counts if page else open_counts(stage)
    return _frame(request, stage) | {
        "gate": page,
        "counts": counts,
        "state": state,
        "chips": [(name, counts[name]) for name in [*SHOWN, DROPPED]],
        "sorts": SORTS,
        "leak_choices": LEAKS,
        "kinds": list(Difficulty),
        "reject_choices": REJECT_CHOICES,
        "reasons": render_to_string("approvals/_reasons.html", {"reject_choices": REJECT_CHOICES}),
        "back": request.POST.get("next") or request.get_full_path(),
    }


def _frame(request: HttpRequest, stage: Stage) -> dict[str, Any]:
    person, is_open = signed_in(request), stage.status not in ("succeeded", "cancelled")
    return {
        "stage": stage,
        "iteration": stage.iteration,
        "experiment": stage.iteration.experiment,
        "is_closed": not is_open,
        "may_decide": person.may(Role.ANNOTATOR) and is_open,
        "may_close": person.may(Role.RESEARCHER) and stage.status == "waiting",
        "required": stage.iteration.experiment.settings.gates.approval == "require",
    }


def _item(stage: Stage, candidate: Candidate) -> Any:
    try:
        return approval_item(stage, candidate.pk)
    except Membership.DoesNotExist as error:
        raise Http404("Nobody is asked about this candidate.") from error


def _back(request: HttpRequest, stage: Stage, failure: DistillError | None, anchor: str = "") -> HttpResponse:
    """To the list as it was filtered before."""
    if failure:
        messages.error(request, str(failure))
    there = reverse("approval-gate", args=[stage.iteration.experiment_id, stage.iteration.number])
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}) and wanted.startswith(there)
    return redirect(f"{wanted if safe else there}{f'#{anchor}' if anchor else ''}")


def _try(act: Callable[[], Any]) -> DistillError | None:
    try:
        act()
    except DistillError as error:
        return error
    return None


def _decision(request: HttpRequest) -> tuple[bool, str, str]:
    """Whether to approve, and for a rejection its reason and text."""
    decision = request.POST.get("decision", "")
    if decision not in ("approve", "reject"):
        raise BadRequest("decision must be approve or reject.")
    text = request.POST.get("text", "").replace("\0", "").strip()
    return decision == "approve", request.POST.get("reason", ""), text


def _seen(request: HttpRequest) -> int | None:
    value = request.POST.get("seen", "")
    return int(value) if value.isdecimal() and len(value) < 19 else None


def _candidate(pk: int) -> Candidate:
    return get_object_or_404(Candidate.objects.select_related("iteration", "parent"), pk=pk)


def _stage_of(candidate: Candidate) -> Stage:
    return _stage(candidate.iteration.experiment_id, candidate.iteration.number)


def _stage(experiment: int, number: int) -> Stage:
    try:
        return approval_stage(experiment, number)
    except Stage.DoesNotExist as error:
        raise Http404("There is no such iteration.") from error
