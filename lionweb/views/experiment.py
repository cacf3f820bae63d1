from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from distill.errors import DistillError
from lionweb.models import Experiment, Role, Stage
from lionweb.permissions import needs, signed_in
from lionweb.selectors.experiment import ExperimentHead, ExperimentPage, experiment_head, experiment_page
from lionweb.selectors.settings_shown import settings_shown
from lionweb.selectors.stage_log import log_tail
from lionweb.services import controls
from lionweb.views.iteration_number import iteration_number


@require_GET
def experiment(request: HttpRequest, pk: int) -> HttpResponse:
    page = experiment_page(pk, iteration_number(request))
    shown = _shown(request, page) | {"groups": settings_shown(page.experiment.settings), **_log(request, page)}
    return render(request, "experiments/experiment.html", shown)


@require_GET
def experiment_live(request: HttpRequest, pk: int) -> HttpResponse:
    """The part of the page that changes while the experiment runs."""
    page = experiment_page(pk, iteration_number(request))
    return render(request, "experiments/_live.html", _shown(request, page))


@require_GET
def experiment_log(request: HttpRequest, pk: int) -> HttpResponse:
    """New lines of the log, and a new tail that asks for the next ones."""
    page = experiment_head(pk, iteration_number(request))
    return render(request, "experiments/_log_lines.html", _shown(request, page) | _log(request, page))


def _shown(request: HttpRequest, page: ExperimentPage | ExperimentHead) -> dict[str, Any]:
    following = request.GET.get("iteration") is None
    return {"page": page, "following": following, "may_control": signed_in(request).may(Role.RESEARCHER)}


def _log(request: HttpRequest, page: ExperimentPage | ExperimentHead) -> dict[str, Any]:
    after = request.GET.get("after", "0")
    if not after.isdecimal() or len(after) > 18:
        raise BadRequest("after must be the number of a line of the log.")
    whole = request.GET.get("log") == "all"
    return {"log": log_tail(page.iteration, after=int(after), whole=whole) if page.iteration else None, "whole": whole}


@needs(Role.RESEARCHER)
@require_POST
def launch(request: HttpRequest, pk: int) -> HttpResponse:
    """The first launch plans all iterations of the settings, every later one a single iteration."""
    found = get_object_or_404(Experiment, pk=pk)
    count = 1 if found.planned_iterations else found.settings.iterations
    return _control(request, found, lambda **who: controls.launch(experiment=found, count=count, **who))


@needs(Role.RESEARCHER)
@require_POST
def pause(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Experiment, pk=pk)
    return _control(request, found, lambda **who: controls.pause(experiment=found, **who))


@needs(Role.RESEARCHER)
@require_POST
def resume(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Experiment, pk=pk)
    return _control(request, found, lambda **who: controls.resume(experiment=found, **who))


@needs(Role.RESEARCHER)
@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Experiment, pk=pk)
    return _control(request, found, lambda **who: controls.cancel(experiment=found, **who))


@needs(Role.RESEARCHER)
@require_POST
def retry(request: HttpRequest, pk: int) -> HttpResponse:
    stage = get_object_or_404(Stage.objects.select_related("iteration__experiment"), pk=pk)
    return _control(request, stage.iteration.experiment, lambda **who: controls.retry(stage=stage, **who))


def _control(request: HttpRequest, experiment: Experiment, act: Callable[..., None]) -> HttpResponse:
    """Do it, or say why it does not apply; either way back to the page."""
    try:
        act(actor=signed_in(request))
    except DistillError as error:
        messages.error(request, str(error))
    return redirect("experiment", pk=experiment.pk)
