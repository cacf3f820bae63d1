"""Numbers and days that stand in a URL; what is none is refused, not passed over: it would show other rows than meant."""

from datetime import date

from django.core.exceptions import BadRequest
from django.http import HttpRequest

MOST_DIGITS = 9


def number(request: HttpRequest, name: str) -> int | None:
    """None where it is empty. Raises BadRequest."""
    value = request.GET.get(name, "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isdecimal()) or len(value) > MOST_DIGITS:
        raise BadRequest(f"{name} must be a number.")
    return int(value)


def day(request: HttpRequest, name: str) -> date | None:
    """None where it is empty. Raises BadRequest."""
    value = request.GET.get(name, "").strip()
    if not value:
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError as error:
        raise BadRequest(f"{name} must be a day such as 2026-01-31.") from error
    if not 1970 <= found.year <= 9000:
        raise BadRequest(f"{name} is out of range.")
    return found
