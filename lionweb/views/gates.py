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
from distill.records import Verdict
from lionweb.models import Classification, Role, Stage, StageKind
from lionweb.permissions import needs, signed_in
from lionweb.selectors.gates import SHOWN, GatePage, gate_stage, review_item, review_page
from lionweb.services import gates

LONGEST_REASON = 2000


@require_GET
def review(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    page = review_page(_stage(pk, number, StageKind.REVIEW), _chosen(request, SHOWN), _page_number(request))
    return render(request, "gates/review.html", _shown(request, page))


@require_GET
def gate_of_stage(request: HttpRequest, pk: int) -> HttpResponse:
    stage = get_object_or_404(Stage.objects.select_related("iteration"), pk=pk)
    pages = {StageKind.REVIEW: "review-gate", StageKind.APPROVE: "approval-gate"}
    if stage.kind not in pages:
        raise Http404("This stage is no gate.")
    return redirect(pages[StageKind(stage.kind)], stage.iteration.experiment_id, stage.iteration.number)


@needs(Role.ANNOTATOR)
@require_POST
def decide_verdict(request: HttpRequest, pk: int) -> HttpResponse:
    """Field `verdict`: hard, easy, unscored, `confirm` for the referee's, or empty to take a decision back."""
    try:
        item = review_item(pk)
    except Classification.DoesNotExist as error:
        raise Http404("There is no such item.") from error
    word, reason = request.POST.get("verdict", ""), request.POST.get("reason", "").replace("\0", "").strip()
    if word == "confirm":
        word = item.referee_verdict
    if word and word not in list(Verdict):
        raise BadRequest("verdict must be hard, easy, unscored, confirm or empty.")
    verdict = Verdict(word) if word else None
    failure = _try(
        lambda: gates.decide_verdict(
            classification=item, actor=signed_in(request), verdict=verdict, reason=reason[:LONGEST_REASON]
        )
    )
    there = reverse("review-gate", args=[item.iteration.experiment_id, item.iteration.number])
    stage = gate_stage(item.iteration.experiment_id, item.iteration.number, StageKind.REVIEW)
    if not request.headers.get("HX-Request"):
        return _back(request, there, failure, f"item-{pk}")
    page = review_page(stage, "all", 1)
    shown = _shown(request, page) | {"item": review_item(pk), "failure": failure, "with_summary": True}
    return render(request, "gates/_review_item.html", shown)


@needs(Role.RESEARCHER)
@require_POST
def close_review(request: HttpRequest, pk: int, number: int) -> HttpResponse:
    stage = _stage(pk, number, StageKind.REVIEW)
    return _close(request, stage, "review-gate", lambda: gates.close_review(stage=stage, actor=signed_in(request)))


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
        "tau": page.stage.iteration.experiment.settings.referee.tau,
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
