"""What every group of settings is made of: fields that know their help text and range, and the check of both."""

from __future__ import annotations

import math
from collections.abc import Hashable
from dataclasses import field, fields
from functools import cache
from typing import Any, get_type_hints

from distill.errors import SettingsError


def setting(
    default: Any, help: str, *, low: float | None = None, high: float | None = None, choices: tuple[str, ...] = ()
) -> Any:
    """A dataclass field with its help text, inclusive range or choices."""
    return field(default=default, metadata={"help": help, "low": low, "high": high, "choices": choices})


@cache
def type_hints_of(cls: Hashable) -> dict[str, Any]:
    return get_type_hints(cls)


def check(settings: Any, group: str) -> None:
    """Raise SettingsError for the first field of a settings group that is outside its type, range or choices."""
    kind_of_settings: Any = type(settings)
    hints = type_hints_of(kind_of_settings)
    for one in fields(settings):
        value, name, kind = getattr(settings, one.name), f"{group}.{one.name}", hints[one.name]
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
            object.__setattr__(settings, one.name, value)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise SettingsError(name, f"must be {kind.__name__}, not {value!r}.")
        if isinstance(value, float) and not math.isfinite(value):
            raise SettingsError(name, "must be a finite number.")
        low, high, choices = (one.metadata.get(k) for k in ("low", "high", "choices"))
        if choices and value not in choices:
            raise SettingsError(name, f"must be one of {', '.join(choices)}, not {value!r}.")
        if (low is not None and value < low) or (high is not None and value > high):
            raise SettingsError(
                name,
                f"must be between {low} and {high}, not {value!r}."
                if high is not None
                else f"must be at least {low}, not {value!r}.",
            )
