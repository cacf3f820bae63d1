"""Settings of which only some are given: the rest comes from a preset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from distill.errors import SettingsError
from distill.settings import ExperimentSettings


def with_overrides(settings: ExperimentSettings, changes: Any) -> ExperimentSettings:
    """The settings with the groups and fields that `changes` names replaced, shaped like `ExperimentSettings.to_json`.

    Raises SettingsError for what is not an object, not a setting or out of range.
    """
    merged = settings.to_json()
    for name, value in _object("settings", changes).items():
        if isinstance(merged.get(name), dict):
            merged[name] = merged[name] | dict(_object(name, value))
        else:
            merged[name] = value
    return ExperimentSettings.from_json(merged)


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingsError(name, f"must be an object, not {value!r}.")
    return value
