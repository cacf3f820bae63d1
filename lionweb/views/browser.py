from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from django.core.exceptions import BadRequest, ObjectDoesNotExist
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from distill.records import Verdict
from lionweb.browser_table import NUMERIC, options, table_rows
from lionweb.models import BulkAction, MemberPool, MemberSource, ReviewState, Role
from lionweb.permissions import signed_in
from lionweb.selectors.browser import browser_page
from lionweb.selectors.browser_state import (
    COLUMNS,
    DECISIONS,
    DELETED,
    JUDGED_SORTS,
    SORTS,
    BrowserState,
    offered_columns,
    state_and_scope,
)
from lionweb.selectors.bulk import shown_jobs
from lionweb.selectors.instruction_search import alike, words_are_unread
from lionweb.selectors.saved_views import kept_for, saved_views
from lionweb.selectors.scope import Scope, choices

SCOPE_FIELDS = ("pool", "experiment")
"""Filters that change what the other filters offer."""
FROM_THE_TOP = ("length", "gap", "teacher", "student")
"""Columns of which the largest values are wanted first."""
ORDERS = {
    "position": "the file's order",
    "id": "oldest first",
    "-id": "newest first",
    "text": "text, A to Z",
    "-text": "text, Z to A",
    "category": "category",
    "-category": "category, backwards",
    "language": "language",
    "-language": "language, backwards",
    "-length": "longest first",
    "length": "shortest first",
    "-gap": "largest gap first",
    "gap": "smallest gap first",
    "-teacher": "best teacher first",
    "teacher": "worst teacher first",
    "-student": "best student first",
    "student": "worst student first",
}


@require_GET
def instructions(request: HttpRequest) -> HttpResponse:
    state, scope = asked(request)
    note = ""
    page = browser_page(state, scope)
    if not page.rows and state.q and not (state.after or state.before):
        near = alike(state.q)
        other = browser_page(replace(state, q=near), scope) if near else page
        page, note = (other, near) if other.rows else (page, "")
    unread = bool(state.q) and words_are_unread()
    shown: dict[str, Any] = {
        "unread": unread,
        "state": state,
        "scope": scope,
        "page": page,
        "instead": note,
    } | _results(request, replace(state, q=note) if note else state, scope)
    shown["rows"] = table_rows(page.rows, shown["columns"], query=_onward(scope), selectable=shown["may_change"])
    if request.headers.get("HX-Request"):
        return _fragment(request, state, scope, shown)
    return _varying(render(request, "pools/browser.html", shown | _whole(request) | _options(state, scope)))


def asked(request: HttpRequest) -> tuple[BrowserState, Scope]:
    """State and scope of the URL, fitted to each other."""
    said = {name: request.GET.get(name, "") for name in request.GET} | {"cols": ",".join(request.GET.getlist("cols"))}
    try:
        return state_and_scope(said)
    except ValueError as error:
        raise BadRequest(str(error)) from error
    except ObjectDoesNotExist as error:
        raise Http404("There is no such pool, experiment or iteration.") from error


def _onward(scope: Scope) -> str:
    return f"experiment={scope.experiment.pk}" if scope.experiment else ""


def _results(request: HttpRequest, state: BrowserState, scope: Scope) -> dict[str, Any]:
    columns = state.columns(scope)
    sorts = _sorts(state, columns)
    return {
        "first": sorts["position" if scope.pool else "id"],
        "columns": columns,
        "heads": _heads(sorts, columns),
        "orders": options([(name, words) for name, words in ORDERS.items() if _fits(name, scope)], state.sort),
        "offered": [(name, title, name in columns) for name, title in offered_columns(scope).items()],
        "clear": f"{reverse('instructions')}?{state.place.query()}",
        "here": state.query(after="", before=""),
        "may_change": signed_in(request).may(Role.RESEARCHER),
        "actions": BulkAction.choices,
        "choices": choices(),
    }


def _whole(request: HttpRequest) -> dict[str, Any]:
    person = signed_in(request)
    has = kept_for(person)
    jobs = shown_jobs(person) if has.jobs else []
    views = saved_views(person) if has.views else None
    return {"jobs": jobs, "polls": any(one.is_open for one in jobs), "views": views}


def _fragment(request: HttpRequest, state: BrowserState, scope: Scope, shown: dict[str, Any]) -> HttpResponse:
    if request.headers.get("HX-Trigger-Name") in SCOPE_FIELDS:
        shown |= _options(state, scope) | {"with_filters": True}
    response = _varying(render(request, "pools/_results.html", shown))
    query = state.query()
    response["HX-Push-Url"] = reverse("instructions") + (f"?{query}" if query else "")
    return response


def _varying(response: HttpResponse) -> HttpResponse:
    """Tells browsers' caches that page and fragment of one URL are two things."""
    patch_vary_headers(response, ["HX-Request"])
    return response


def _fits(order: str, scope: Scope) -> bool:
    key = order.removeprefix("-")
    return bool(scope.pool) if key == "position" else bool(scope.checkpoint) or key not in JUDGED_SORTS


def _heads(sorts: dict[str, dict[str, str]], columns: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "title": COLUMNS[name],
            "css": f"{'number ' if name in NUMERIC else ''}col-{name}",
            "sort": sorts.get("id" if name == "number" else name),
        }
        for name in columns
    ]


def _sorts(state: BrowserState, columns: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each column head where it leads and how it sorts now; a second press turns the order round."""
    found = {}
    for key in SORTS:
        if key in columns or key in ("id", "position"):
            turned = f"-{key}" if state.sort == key or (key in FROM_THE_TOP and state.sort != f"-{key}") else key
            order = ("descending" if state.descending else "ascending") if key == state.key else ""
            found[key] = {"href": f"?{state.query(sort=turned, after='', before='')}", "order": order}
    return found


def _options(state: BrowserState, scope: Scope) -> dict[str, SafeString]:
    """What each filter offers, with the chosen value marked."""
    offered = choices()
    offers: dict[str, Sequence[tuple[object, str]]] = {
        "pool": offered.pools,
        "experiment": offered.experiments,
        "reviewer": offered.reviewers,
        "category": [(name, name) for name in offered.categories],
        "language": [(name, name) for name in offered.languages],
        "member": MemberPool.choices,
        "source": MemberSource.choices,
        "verdict": [(one.value, one.value) for one in Verdict],
        "decision": list(DECISIONS.items()),
        "review": [(value, label) for value, label in ReviewState.choices if value],
        "deleted": list(DELETED.items()),
    }
    found = {f"{name}_options": options(offer, getattr(state, name)) for name, offer in offers.items()}
    current = scope.iteration.number if scope.iteration else None
    numbers = [(one.number, str(one.number)) for one in scope.iterations]
    return found | {"iteration_options": options(numbers, current)}
