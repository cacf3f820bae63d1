"""Who may do what: a decorator for views, one line each."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase

from lionweb.models import Role, User

View = Callable[..., HttpResponseBase]


def signed_in(request: HttpRequest) -> User:
    """The person behind a request; the login middleware lets no one else through."""
    assert isinstance(request.user, User)
    return request.user


def needs(role: Role) -> Callable[[View], View]:
    """Answers 403, with the role that is missing, to everyone who may not."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not signed_in(request).may(role):
                raise PermissionDenied(f"This needs the role {role.label.lower()}. Ask an administrator for it.")
            return view(request, *args, **kwargs)

        return checked

    return decorate
