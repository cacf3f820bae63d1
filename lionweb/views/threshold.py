from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from distill.errors import DistillError
from lionweb.forms.threshold import ApplyForm, ReplayForm
from lionweb.independence import veiled
from lionweb.models import Iteration, Role
from lionweb.permissions import needs, signed_in
from lionweb.selectors.experiment import choose
from lionweb.selectors.threshold import threshold_data, threshold_page, what_if
from lionweb.services import replays, thresholds
from lionweb.views.iteration_number import iteration_number


@require_GET
def threshold(request: HttpRequest, pk: int) -> HttpResponse:
    """`tau` in the URL is only looked at."""
    return _page(request, _iteration(request, pk))


@require_GET
def data(request: HttpRequest, pk: int) -> JsonResponse:
    return JsonResponse(threshold_data(_iteration(request, pk)))


@require_GET
def exact(request: HttpRequest, pk: int) -> JsonResponse:
    """The counts at `tau`, also between the edges of the bins; without it those at the iteration's own."""
    iteration = _iteration(request, pk)
    form = ApplyForm(request.GET if "tau" in request.GET else {"tau": iteration.tau})
    if not form.is_valid():
        return JsonResponse({"error": form.errors["tau"][0]}, status=400)
    return JsonResponse(what_if(iteration, form.cleaned_data["tau"]).to_json())


@needs(Role.RESEARCHER)
@require_POST
def apply(request: HttpRequest, pk: int) -> HttpResponse:
    iteration, form = _iteration(request, pk), ApplyForm(request.POST)
    if not form.is_valid():
        return _page(request, iteration, failure=str(form.errors["tau"][0]), status=400)
    try:
        tau = form.cleaned_data["tau"]
        changed = thresholds.apply_threshold(iteration=iteration, actor=signed_in(request), tau=tau)
    except DistillError as error:
        return _page(request, iteration, failure=str(error), status=409)
    messages.success(request, f"The threshold is {tau:g} now; {changed:,} verdicts of the referee changed.")
    return redirect(_url(iteration))


@needs(Role.RESEARCHER)
@require_POST
def replay(request: HttpRequest, pk: int) -> HttpResponse:
    iteration = _iteration(request, pk)
    form = ReplayForm(request.POST, modes=replays.stored_modes(iteration))
    if not form.is_valid():
        return _page(request, iteration, form=form, status=400)
    try:
        branch = replays.replay(iteration=iteration, actor=signed_in(request), **form.cleaned_data)
    except DistillError as error:
        return _page(request, iteration, form=form, failure=str(error), status=409)
    messages.success(request, f"{branch.name} is made without a call. Resume it to go on from here.")
    return redirect(_url(branch.iterations.get(number=iteration.number)))


def _iteration(request: HttpRequest, pk: int) -> Iteration:
    """Raises Http404 also where there is no iteration yet, PermissionDenied where its verdicts are kept back."""
    related = ("experiment__owner", "experiment__endpoint", "experiment__replay_of__experiment")
    iterations = list(Iteration.objects.select_related(*related).filter(experiment=pk).order_by("number"))
    found = choose(iterations, iteration_number(request))
    if found is None:
        raise Http404("This experiment has no iteration yet.")
    if veiled([found], signed_in(request)):
        raise PermissionDenied("This review is blind: its figures are shown once it is closed.")
    return found


def _url(iteration: Iteration) -> str:
    return f"{reverse('experiment-threshold', args=[iteration.experiment_id])}?iteration={iteration.number}"


def _page(
    request: HttpRequest, iteration: Iteration, *, form: ReplayForm | None = None, failure: str = "", status: int = 200
) -> HttpResponse:
    asked = ApplyForm(request.POST or request.GET)
    tau = asked.cleaned_data["tau"] if asked.is_valid() else None
    page = threshold_page(iteration, tau)
    form = form or ReplayForm(modes=replays.stored_modes(iteration), initial=_initial(iteration, page.shown.tau))
    shown = {
        "page": page,
        "form": form,
        "failure": failure,
        "iteration": iteration,
        "experiment": iteration.experiment,
        "may_change": signed_in(request).may(Role.RESEARCHER),
    }
    return render(request, "threshold/threshold.html", shown, status=status)


def _initial(iteration: Iteration, tau: float) -> dict[str, Any]:
    name = f"{iteration.experiment.name}, replay of iteration {iteration.number}"[:100]
    return {"name": name, "tau": f"{tau:g}", "mode": iteration.experiment.settings.referee.mode, "with_overrides": True}
