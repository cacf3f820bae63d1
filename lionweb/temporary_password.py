"""Middleware: whoever signed in with a one-time password chooses one of their own before anything else."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django_htmx.http import HttpResponseClientRedirect

from lionweb.models import User


class TemporaryPasswordMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        person = request.user
        if isinstance(person, User) and person.password_is_temporary:
            there = reverse("own-password")
            if request.path not in (there, reverse("sign-out"), reverse("healthz")):
                return HttpResponseClientRedirect(there) if request.headers.get("HX-Request") else redirect(there)
        return self.get_response(request)
