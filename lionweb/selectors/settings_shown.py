"""The frozen settings of an experiment as pages list them."""

from dataclasses import dataclass
from typing import Any

from distill.rubric import rubric_text, rubric_version
from distill.settings import ExperimentSettings
from lionweb.forms.settings_fields import GROUPS, label, settings_of

DEFAULTS = ExperimentSettings()


@dataclass(frozen=True)
class ShownSetting:
    label: str
    help: str
    value: str
    default: str

    @property
    def is_changed(self) -> bool:
        return self.value != self.default


@dataclass(frozen=True)
class ShownGroup:
    title: str
    settings: tuple[ShownSetting, ...]


def settings_shown(settings: ExperimentSettings) -> tuple[ShownGroup, ...]:
    return tuple(
        ShownGroup(
            group.title,
            tuple(
                ShownSetting(
                    label(one.name),
                    one.metadata["help"],
                    _words(one.name, getattr(_part(settings, group.name), one.name)),
                    _words(one.name, getattr(_part(DEFAULTS, group.name), one.name)),
                )
                for _, one, _ in settings_of(group)
            ),
        )
        for group in GROUPS
    )


def _part(settings: ExperimentSettings, name: str) -> Any:
    return getattr(settings, name) if name else settings


def _words(name: str, value: Any) -> str:
    if name == "rubric":
        said = "built-in" if rubric_text(value) == rubric_text("") else rubric_text(value)
        return f"{rubric_version(value)}: {said}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value) or "none"
