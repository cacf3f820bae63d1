from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from distill.errors import DistillError
from lionweb.models import Candidate, Role, Stage, StageKind
from lionweb.permissions import needs, signed_in
from lionweb.selectors.gates import (
    APPROVALS,
    GatePage,
    approval_item,
    approval_page,
    gate_stage,
)
from lionweb.services import gates


@require_GET
def approval(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    page = approval_page(_stage(pk, number, StageKind.APPROVE), _chosen(request, APPROVALS), _page_number(request))
    return render(request, "gates/approval.html", _shown(request, page))


@require_GET
def gate_of_stage(request: HttpRequest, pk: int) -> HttpResponse:
    stage = get_object_or_404(Stage.objects.select_related("iteration"), pk=pk)
    pages = {StageKind.REVIEW: "review-gate", StageKind.APPROVE: "approval-gate"}
    if stage.kind not in pages:
        raise Http404("This stage is no gate.")
    return redirect(pages[StageKind(stage.kind)], stage.iteration.experiment_id, stage.iteration.number)


@needs(Role.ANNOTATOR)
@require_POST
def decide_approval(request: HttpRequest, pk: int) -> HttpResponse:
    """Field `decision`: approve or reject."""
    candidate = get_object_or_404(Candidate.objects.select_related("iteration", "instruction"), pk=pk)
    decision = request.POST.get("decision", "")
    if decision not in ("approve", "reject"):
        raise BadRequest("decision must be approve or reject.")
    failure = _try(
        lambda: gates.decide_approval(candidate=candidate, actor=signed_in(request), approve=decision == "approve")
    )
    where = (candidate.iteration.experiment_id, candidate.iteration.number)
    if not request.headers.get("HX-Request"):
        return _back(request, reverse("approval-gate", args=where), failure, f"item-{pk}")
    stage = gate_stage(*where, StageKind.APPROVE)
    try:
        item = approval_item(stage, pk)
    except Candidate.DoesNotExist as error:
        raise Http404("This candidate waits for nobody.") from error
    shown = _shown(request, approval_page(stage, "all", 1)) | {"item": item, "failure": failure, "with_summary": True}
    return render(request, "gates/_approval_item.html", shown)


@needs(Role.RESEARCHER)
@require_POST
def close_approval(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    stage = _stage(pk, number, StageKind.APPROVE)
    return _close(request, stage, "approval-gate", lambda: gates.close_approval(stage=stage, actor=signed_in(request)))


@needs(Role.ANNOTATOR)
@require_POST
def approve_all(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    stage = _stage(pk, number, StageKind.APPROVE)
    counts: list[int] = []
    failure = _try(lambda: counts.append(gates.approve_all(stage=stage, actor=signed_in(request))))
    if counts:
        messages.success(request, f"{counts[0]:,} instructions were approved.")
    return _back(request, reverse("approval-gate", args=[pk, number]), failure, "")


def _close(request: HttpRequest, stage: Stage, gate: str, act: Callable[[], None]) -> HttpResponse:
    failure = _try(act)
    where = (stage.iteration.experiment_id, stage.iteration.number)
    if failure:
        messages.error(request, str(failure))
        return redirect(gate, *where)
    messages.success(request, f"The gate is closed and iteration {stage.iteration.number} goes on.")
    return redirect("experiment", where[0])


def _try(act: Callable[[], Any]) -> DistillError | None:
    try:
        act()
    except DistillError as error:
        return error
    return None


def _back(request: HttpRequest, there: str, failure: DistillError | None, anchor: str) -> HttpResponse:
    """To the list as it was filtered before."""
    if failure:
        messages.error(request, str(failure))
    wanted = request.POST.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, allowed_hosts={request.get_host()}) and wanted.startswith(there)
    return redirect(f"{wanted if safe else there}#{anchor}" if anchor else wanted if safe else there)


def _shown(request: HttpRequest, page: GatePage) -> dict[str, Any]:
    person = signed_in(request)
    return {
        "gate": page,
        "stage": page.stage,
        "iteration": page.stage.iteration,
        "experiment": page.stage.iteration.experiment,
        "may_decide": person.may(Role.ANNOTATOR) and not page.is_closed,
        "may_close": person.may(Role.RESEARCHER) and page.stage.status == "waiting",
        "back": request.POST.get("next") or request.get_full_path(),
    }


def _stage(experiment: int, number: int, kind: StageKind) -> Stage:
    try:
        return gate_stage(experiment, number, kind)
    except Stage.DoesNotExist as error:
        raise Http404("There is no such iteration.") from error


def _chosen(request: HttpRequest, known: dict[str, Any]) -> str:
    wanted = request.GET.get("show", "open")
    return wanted if wanted in known else "open"


def _page_number(request: HttpRequest) -> int:
    value = request.GET.get("page", "1")
    return int(value) if value.isdecimal() and len(value) < 9 else 1
