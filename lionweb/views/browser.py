from dataclasses import replace
from typing import Any

from django.core.exceptions import BadRequest, ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET

from distill.records import Verdict
from lionweb.models import MemberPool, MemberSource
from lionweb.selectors.browser import SORTS, BrowserState, browser_page
from lionweb.selectors.scope import Scope, choices, scope_of

SCOPE_FIELDS = ("pool", "experiment")
"""Filters that change what the other filters offer."""
FROM_THE_TOP = ("length", "gap")
"""Columns of which the largest values are wanted first."""


@require_GET
def instructions(request: HttpRequest) -> HttpResponse:
    state = _state(request)
    try:
        scope = scope_of(pool=state.pool, experiment=state.experiment, iteration=state.iteration, member=state.member)
    except ObjectDoesNotExist as error:
        raise Http404("There is no such pool, experiment or iteration.") from error
    state = _fitted(state, scope)
    shown: dict[str, Any] = {"state": state, "scope": scope, "page": browser_page(state, scope)}
    shown |= {"sorts": _sorts(state), "clear": _cleared(state)}
    if request.headers.get("HX-Request"):
        return _fragment(request, state, shown)
    return _varying(render(request, "pools/browser.html", shown | _options()))


def _fragment(request: HttpRequest, state: BrowserState, shown: dict[str, Any]) -> HttpResponse:
    if request.headers.get("HX-Trigger-Name") in SCOPE_FIELDS:
        shown |= _options() | {"with_filters": True}
    response = _varying(render(request, "pools/_results.html", shown))
    query = state.query()
    response["HX-Push-Url"] = reverse("instructions") + (f"?{query}" if query else "")
    return response


def _varying(response: HttpResponse) -> HttpResponse:
    """Tells browsers' caches that page and fragment of one URL are two things."""
    patch_vary_headers(response, ["HX-Request"])
    return response


def _sorts(state: BrowserState) -> dict[str, dict[str, str]]:
    """For each column head where it leads and how it sorts now; a second press turns the order round."""
    chosen, found = state.sort.removeprefix("-"), {}
    for key in SORTS:
        turned = f"-{key}" if state.sort == key or (key in FROM_THE_TOP and state.sort != f"-{key}") else key
        order = ("descending" if state.sort.startswith("-") else "ascending") if key == chosen else ""
        found[key] = {"href": f"?{state.query(sort=turned, after='', before='')}", "order": order}
    return found


def _cleared(state: BrowserState) -> str:
    """The same pool or experiment without search, filters and page."""
    kept = BrowserState(
        pool=state.pool, experiment=state.experiment, member=state.member, iteration=state.iteration, sort=state.sort
    )
    return f"{reverse('instructions')}?{kept.query()}"


def _options() -> dict[str, Any]:
    return {
        "choices": choices(),
        "members": MemberPool.choices,
        "sources": MemberSource.choices,
        "verdicts": list(Verdict),
    }


def _state(request: HttpRequest) -> BrowserState:
    """What the URL says; a word that means nothing is passed over, a number that is none is refused."""
    text = {name: request.GET.get(name, "").replace("\0", "").strip() for name in ("q", "category", "language")}
    return BrowserState(
        **text,
        pool=_number(request, "pool"),
        experiment=_number(request, "experiment"),
        iteration=_number(request, "iteration"),
        member=_one_of(request, "member", MemberPool.values),
        verdict=_one_of(request, "verdict", [one.value for one in Verdict]),
        source=_one_of(request, "source", MemberSource.values),
        sort=_one_of(request, "sort", [*SORTS, *(f"-{name}" for name in SORTS)]),
        after=request.GET.get("after", "").replace("\0", ""),
        before=request.GET.get("before", "").replace("\0", ""),
    )


def _fitted(state: BrowserState, scope: Scope) -> BrowserState:
    """Without what does not apply to the scope: verdicts need a checkpoint, the file's order a pool."""
    if not scope.experiment:
        state = replace(state, member="", iteration=None, source="")
    if not scope.checkpoint:
        state = replace(state, verdict="")
    key, first = state.sort.removeprefix("-"), "position" if scope.pool else "id"
    fits = {"gap": scope.checkpoint, "position": scope.pool}.get(key, True)
    return state if key and fits else replace(state, sort=first)


def _one_of(request: HttpRequest, name: str, known: list[str]) -> str:
    value = request.GET.get(name, "")
    return value if value in known else ""


def _number(request: HttpRequest, name: str) -> int | None:
    value = request.GET.get(name, "").strip()
    if not value:
        return None
    if not value.isdecimal() or len(value) > 9:
        raise BadRequest(f"{name} must be a number.")
    return int(value)
