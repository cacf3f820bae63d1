"""Form fields made from the metadata of the settings dataclasses, so that the form and the engine say the same."""

from collections.abc import Iterator
from dataclasses import Field, dataclass, fields, is_dataclass
from typing import Any, get_type_hints

from django import forms

from distill.errors import SettingsError
from distill.settings import ExperimentSettings

IMPORTED = "imported"  # nobody chooses it: the import of judged pairs sets it
SEPARATOR = "__"  # training.epochs is the form field training__epochs


@dataclass(frozen=True)
class Group:
    """Settings that stand together on pages. `first` are shown at once, the rest behind "more settings"."""

    name: str
    title: str
    about: str
    first: tuple[str, ...]


LOOP = Group("", "Loop", "How often the three stages run.", ("iterations", "seed"))
GROUPS = (
    LOOP,
    Group("pools", "Pools", "What the first iteration starts from, and what becomes of new instructions.", ("mode", "train", "cache", "heldout")),
    Group("teacher", "Teacher", "The large model whose answers the student learns.", ("temperature", "max_tokens")),
    Group("student", "Student", "The small model that is trained.", ("base", "temperature", "max_new_tokens")),
    Group("training", "Imitation", "Fine-tuning of the student on the teacher's answers.", ("method", "epochs", "learning_rate", "batch_size", "max_length", "lora_r")),
    Group("referee", "Referee", "Scores both answers; decides hard or easy.", ("mode", "tau")),
    Group("generator", "Generator", "Writes new instructions like the hard and the easy ones.", ("hard", "easy", "novelty_threshold")),
    Group("gates", "People", "Where the loop stops and waits for a person.", ("review", "review_sample_percent", "approval", "approval_sample_percent")),
)  # fmt: skip

LABELS = {
    "top_p": "Top-p",
    "tau": "Threshold tau",
    "max_tokens": "Longest reply (tokens)",
    "max_new_tokens": "Longest answer (tokens)",
    "max_length": "Longest sequence (tokens)",
    "base": "Base model",
    "template": "Prompt format",
    "lora_r": "LoRA rank",
    "lora_alpha": "LoRA alpha",
    "lora_dropout": "LoRA dropout",
    "train": "Train Pool, first size",
    "cache": "Cache Pool, first size",
    "heldout": "Held-out size",
    "hard": "New from hard",
    "easy": "New from easy",
    "reask": "Ask again (times)",
    "max_attempts": "Attempts per instruction",
    "leak_policy": "Overlaps with benchmarks",
    "max_grad_norm": "Gradient clipping",
    "warmup_ratio": "Warm-up share",
    "review": "Review gate",
    "approval": "Approval gate",
    "review_sample_percent": "Review sample (%)",
    "approval_sample_percent": "Approval sample (%)",
    "review_stop_percent": "Wrong verdicts accepted (%)",
    "train_on_cut": "Train on cut answers",
    "length_adjusted": "Length-adjusted gap",
    "stability_percent": "Asked a second time (%)",
    "second_percent": "Second referee's sample (%)",
    "save_every_steps": "Resume point every (steps)",
}


def label(name: str) -> str:
    return LABELS.get(name, name.replace("_", " ").capitalize())


def field_name(dotted: str) -> str:
    return dotted.replace(".", SEPARATOR)


def settings_of(group: Group) -> Iterator[tuple[str, Field[Any], type]]:
    """Each setting of a group with its dotted name and type."""
    cls: Any = get_type_hints(ExperimentSettings)[group.name] if group.name else ExperimentSettings
    hints = get_type_hints(cls)
    for one in fields(cls):
        if not is_dataclass(hints[one.name]):
            yield f"{group.name}.{one.name}" if group.name else one.name, one, hints[one.name]


def form_fields() -> dict[str, forms.Field]:
    return {field_name(dotted): _form_field(one, kind) for group in GROUPS for dotted, one, kind in settings_of(group)}


def _form_field(one: Field[Any], kind: type) -> forms.Field:
    # Ranges are left to the settings themselves: they know the words for what is wrong.
    shared: dict[str, Any] = {"label": label(one.name), "help_text": one.metadata["help"]}
    if one.metadata["choices"]:
        offered = [value for value in one.metadata["choices"] if (one.name, value) != ("mode", IMPORTED)]
        return forms.ChoiceField(choices=[(value, value) for value in offered], **shared)
    if kind is bool:
        return forms.BooleanField(required=False, **shared)
    if kind in (int, float):
        low, high = one.metadata["low"], one.metadata["high"]
        bounds = {name: bound for name, bound in (("min", low), ("max", high)) if bound is not None}
        number = forms.NumberInput(attrs=bounds | {"step": 1 if kind is int else "any"})
        return (forms.IntegerField if kind is int else forms.FloatField)(widget=number, **shared)
    if one.name in ("system_prompt", "rubric"):
        return forms.CharField(required=False, strip=False, widget=forms.Textarea(attrs={"rows": 3}), **shared)
    return forms.CharField(**shared)


def initial_from(settings: ExperimentSettings) -> dict[str, Any]:
    """The form's values for these settings."""
    data = settings.to_json()
    return {
        field_name(dotted): data[group.name][one.name] if group.name else data[one.name]
        for group in GROUPS
        for dotted, one, _ in settings_of(group)
    }


def build(values: dict[str, Any]) -> tuple[ExperimentSettings, dict[str, str]]:
    """Settings from a form's values, and by field name what is wrong with those that are out of range.

    A wrong or missing value is replaced by its default, so that all errors are found at once; the settings
    are only good where there are no errors.
    """
    errors: dict[str, str] = {}
    data: dict[str, Any] = {}
    for group in GROUPS:
        target = data.setdefault(group.name, {}) if group.name else data
        for dotted, one, _ in settings_of(group):
            if values.get(field_name(dotted)) is not None:
                target[one.name] = values[field_name(dotted)]
    while True:
        try:
            return ExperimentSettings.from_json(data), errors
        except SettingsError as error:
            group_name, _, name = error.field.rpartition(".")
            errors[field_name(error.field)] = error.cause.removeprefix(f"{error.field}: ")
            del (data[group_name] if group_name else data)[name]
