from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from distill.errors import DistillError, SettingsError
from distill.presets import PRESETS, Preset
from lionweb.forms.experiment import ExperimentForm
from lionweb.forms.settings_fields import field_name, initial_from
from lionweb.models import Endpoint, EndpointSource, Experiment, Pool, PoolKind, Role
from lionweb.permissions import needs, signed_in
from lionweb.plan import Plan
from lionweb.selectors.experiment_status import STATUSES
from lionweb.selectors.experiments import DEFAULT_SORT, SORTS, ListState, list_experiments
from lionweb.selectors.plan import plan_of
from lionweb.services import controls
from lionweb.services.errors import Refused
from lionweb.services.experiments import create_experiment
from lionweb.smoke import smoke_settings


@require_GET
def experiments(request: HttpRequest) -> HttpResponse:
    state = _state(request)
    shown = {"found": list_experiments(state), "state": state, "may_create": signed_in(request).may(Role.RESEARCHER)}
    template = "experiments/_table.html" if request.headers.get("HX-Request") else "experiments/list.html"
    return render(request, template, shown)


def _state(request: HttpRequest) -> ListState:
    """What the URL says; a word that means nothing is passed over."""
    sort, status = request.GET.get("sort", ""), request.GET.get("status", "")
    page = request.GET.get("page", "")
    return ListState(
        search=request.GET.get("q", "").strip().replace("\0", ""),
        status=status if status in STATUSES else "",
        sort=sort if sort.removeprefix("-") in SORTS else DEFAULT_SORT,
        page=int(page) if page.isdecimal() and len(page) < 10 else 1,
    )


@needs(Role.RESEARCHER)
@require_http_methods(["GET", "POST"])
def new_experiment(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return _page(request, ExperimentForm(initial=_initial(request)))
    form = ExperimentForm(request.POST)
    created = _create(request, form) if form.is_valid() else None
    return redirect("experiment", pk=created.pk) if created else _page(request, form, status=422)


def _create(request: HttpRequest, form: ExperimentForm) -> Experiment | None:
    person, given = signed_in(request), form.cleaned_data
    is_smoke = "smoke" in request.POST
    settings = smoke_settings(form.settings) if is_smoke else form.settings
    names = ("name", "endpoint", "pool", "heldout_pool", "cloned_from", "budget_usd", "second_endpoint")
    try:
        values = {name: given[name] for name in names}
        values |= {"name": f"Smoke run: {given['name']}"[:100]} if is_smoke else {}
        created = create_experiment(owner=person, settings=settings, **values)
    except SettingsError as error:
        form.add_error(field_name(error.field), error.cause.removeprefix(f"{error.field}: "))
        return None
    except Refused as error:
        form.add_error(None, str(error))
        return None
    if "launch" in request.POST or is_smoke:
        _launch(request, created)
    else:
        messages.success(request, f"{created.name} is kept as a draft. Nothing runs until you launch it.")
    return created


def _launch(request: HttpRequest, experiment: Experiment) -> None:
    try:
        controls.launch(experiment=experiment, actor=signed_in(request), count=experiment.settings.iterations)
    except DistillError as error:
        messages.error(request, str(error))


@needs(Role.RESEARCHER)
@require_GET
def experiment_estimate(request: HttpRequest) -> HttpResponse:
    """The plan for what the form holds now; half-typed values are passed over."""
    form = ExperimentForm(request.GET)
    form.is_valid()
    return render(request, "bill/_plan.html", {"plan": _plan(form)})


def _page(request: HttpRequest, form: ExperimentForm, status: int = 200) -> HttpResponse:
    shown = {
        "form": form,
        "presets": PRESETS.values(),
        "preset": request.GET.get("preset", ""),
        "clone": _cloned(request),
        "plan": _plan(_as_posted(form)),
        "has_endpoint": Endpoint.objects.exclude(base_url__startswith="imported:").exists(),
        "has_pool": Pool.objects.filter(kind=PoolKind.SEED, rows__gt=0).exists(),
    }
    return render(request, "experiments/new.html", shown, status=status)


def _as_posted(form: ExperimentForm) -> ExperimentForm:
    """The same form as if its first values had been sent: only a bound form has cleaned values."""
    if form.is_bound:
        return form
    values = {one.html_name: one.value() for one in form}
    posted = ExperimentForm({name: value for name, value in values.items() if value is not None and value is not False})
    posted.is_valid()
    return posted


def _plan(form: ExperimentForm) -> Plan | None:
    given = form.cleaned_data
    pool, endpoint = given.get("pool"), given.get("endpoint")
    if pool is None or endpoint is None:
        return None
    return plan_of(form.settings, pool, given.get("heldout_pool"), endpoint, second=given.get("second_endpoint"))


def _initial(request: HttpRequest) -> dict[str, Any]:
    source = _cloned(request)
    if source:
        chosen = {"name": _next_name(source.name), "endpoint": source.endpoint_id, "pool": source.pool_id}
        chosen |= {"heldout_pool": source.heldout_pool_id, "cloned_from": source.pk, "budget_usd": source.budget_usd}
        chosen |= {"second_endpoint": source.second_endpoint_id}
        return initial_from(source.settings) | chosen
    preset = PRESETS.get(request.GET.get("preset", "")) or next(iter(PRESETS.values()))
    return initial_from(preset.settings) | _first_choices(preset) | {"name": request.GET.get("name", "")}


def _first_choices(preset: Preset) -> dict[str, Any]:
    """The pools that came first, on a new installation those that ship with it, and an endpoint that fits the preset."""
    is_bundled = Q(source=EndpointSource.BUNDLED)
    fits = is_bundled if preset.settings.student.base == "bundled" else ~is_bundled
    endpoints = (
        Endpoint.objects.exclude(base_url__startswith="imported:")
        .annotate(fits=ExpressionWrapper(fits, BooleanField()))
        .order_by("-fits", "pk")
    )
    return {
        "endpoint": endpoints.values_list("pk", flat=True).first(),
        "pool": Pool.objects.filter(kind=PoolKind.SEED, rows__gt=0).order_by("pk").values_list("pk", flat=True).first(),
        "heldout_pool": Pool.objects.filter(kind=PoolKind.HELDOUT).order_by("pk").values_list("pk", flat=True).first(),
    }


def _cloned(request: HttpRequest) -> Experiment | None:
    pk = request.POST.get("cloned_from") or request.GET.get("clone")
    if not pk:
        return None
    if not pk.isdecimal() or len(pk) > 18:
        raise BadRequest("The number of the experiment to clone is not a number.")
    return get_object_or_404(Experiment, pk=pk)


def _next_name(name: str) -> str:
    """A free name: the old one with the next number."""
    stem, _, last = name.rpartition(" ")
    stem, number = (stem, int(last)) if stem and last.isdecimal() and len(last) < 6 else (name, 1)
    taken = set(Experiment.objects.filter(name__startswith=stem[:90]).values_list("name", flat=True))
    while f"{stem[:90]} {number + 1}" in taken:
        number += 1
    return f"{stem[:90]} {number + 1}"
