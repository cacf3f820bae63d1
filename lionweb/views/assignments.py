from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from distill.errors import DistillError
from lionweb.models import Experiment, Role, User
from lionweb.permissions import needs, signed_in
from lionweb.selectors.people import assignment_page, waiting_for
from lionweb.services.assignments import assign, unassign


@needs(Role.ANNOTATOR)
@require_GET
def my_reviews(request: HttpRequest) -> HttpResponse:
    person = signed_in(request)
    shown = {"rows": waiting_for(person), "may_resolve": person.may(Role.RESEARCHER)}
    return render(request, "people/my_reviews.html", shown)


@require_GET
def reviewers(request: HttpRequest, pk: int) -> HttpResponse:
    try:
        page = assignment_page(pk)
    except Experiment.DoesNotExist as error:
        raise Http404("There is no such experiment.") from error
    may_assign = signed_in(request).may(Role.RESEARCHER)
    return render(request, "people/reviewers.html", {"page": page, "may_assign": may_assign})


@needs(Role.RESEARCHER)
@require_POST
def add_reviewer(request: HttpRequest, pk: int) -> HttpResponse:
    experiment, user = _both(pk, request.POST.get("user", ""))
    return _do(request, experiment, lambda: assign(experiment=experiment, user=user, actor=signed_in(request)))


@needs(Role.RESEARCHER)
@require_POST
def remove_reviewer(request: HttpRequest, pk: int) -> HttpResponse:
    experiment, user = _both(pk, request.POST.get("user", ""))
    return _do(request, experiment, lambda: unassign(experiment=experiment, user=user, actor=signed_in(request)))


def _both(pk: int, number: str) -> tuple[Experiment, User]:
    if not number.isdecimal() or len(number) > 9:
        raise Http404("There is no such person.")
    return get_object_or_404(Experiment, pk=pk), get_object_or_404(User, pk=int(number))


def _do(request: HttpRequest, experiment: Experiment, act: Callable[[], None]) -> HttpResponse:
    try:
        act()
    except DistillError as error:
        messages.error(request, str(error))
    return redirect("reviewers", experiment.pk)
