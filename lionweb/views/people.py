from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from distill.errors import DistillError
from lionweb.models import Role, User
from lionweb.permissions import needs, signed_in
from lionweb.selectors.people import people_rows
from lionweb.services import people as service


@needs(Role.ADMIN)
@require_GET
def people(request: HttpRequest) -> HttpResponse:
    return _page(request)


@needs(Role.ADMIN)
@require_POST
@never_cache
def invite(request: HttpRequest) -> HttpResponse:
    """The answer shows the one-time password; it is stored nowhere and cannot be shown again."""
    name, email, role = request.POST.get("name", ""), request.POST.get("email", "")[:254], _role(request)
    try:
        person, password = service.invite(actor=signed_in(request), name=name, role=role, email=email)
    except DistillError as error:
        return _page(request, error=error, given={"name": name, "email": email, "role": role}, status=422)
    return _page(request, told={"person": person, "password": password})


@needs(Role.ADMIN)
@require_POST
def change_role(request: HttpRequest, pk: int) -> HttpResponse:
    person, role = get_object_or_404(User, pk=pk), _role(request)
    done = f"{person.username} is now {role.label.lower()}."
    return _do(request, done, lambda: service.change_role(actor=signed_in(request), person=person, role=role))


@needs(Role.ADMIN)
@require_POST
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    done = f"{person.username} can no longer sign in. What they decided stays."
    return _do(request, done, lambda: service.deactivate(actor=signed_in(request), person=person))


@needs(Role.ADMIN)
@require_POST
def reactivate(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    done = f"{person.username} can sign in again."
    return _do(request, done, lambda: service.reactivate(actor=signed_in(request), person=person))


@needs(Role.ADMIN)
@require_POST
@never_cache
def new_password(request: HttpRequest, pk: int) -> HttpResponse:
    person = get_object_or_404(User, pk=pk)
    try:
        password = service.new_password(actor=signed_in(request), person=person)
    except DistillError as error:
        return _page(request, error=error, status=422)
    return _page(request, told={"person": person, "password": password})


def _do(request: HttpRequest, done: str, act: Callable[[], None]) -> HttpResponse:
    try:
        act()
    except DistillError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, done)
    return redirect("people")


def _page(request: HttpRequest, status: int = 200, **shown: Any) -> HttpResponse:
    return render(request, "people/list.html", {"rows": people_rows(), "roles": Role.choices} | shown, status=status)


def _role(request: HttpRequest) -> Role:
    word = request.POST.get("role", "")
    if word not in Role.values:
        raise BadRequest("role must be viewer, annotator, researcher or admin.")
    return Role(word)
