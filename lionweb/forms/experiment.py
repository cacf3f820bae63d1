from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms import BoundField

from distill.settings import ExperimentSettings
from lionweb.forms import settings_fields
from lionweb.models import Endpoint, Experiment, Pool, PoolKind


@dataclass(frozen=True)
class FieldGroup:
    """A group of settings as the page shows it; `open_more` where a hidden field is wrong."""

    name: str
    title: str
    about: str
    first: list[BoundField]
    more: list[BoundField]

    @property
    def open_more(self) -> bool:
        return any(field.errors for field in self.more)


class PoolChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} ({obj.rows:,})"


class EndpointChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} ({obj.model})" if obj.model != obj.name else str(obj.name)


class ExperimentForm(forms.Form):
    name = forms.CharField(max_length=100, help_text="Stands in every list. Say what is being tried.")
    endpoint = EndpointChoice(
        Endpoint.objects.none(),
        label="Teacher endpoint",
        empty_label=None,
        help_text="Answers as the teacher, and by default as referee and generator.",
    )
    pool = PoolChoice(
        Pool.objects.none(),
        label="Instruction pool",
        empty_label=None,
        help_text="The first Train Pool and Cache Pool are drawn from it.",
    )
    heldout_pool = PoolChoice(
        Pool.objects.none(),
        label="Held-out set",
        required=False,
        empty_label="Split off the instruction pool",
        help_text="Measured after every training, never trained on. The held-out size below says how many.",
    )
    second_endpoint = EndpointChoice(
        Endpoint.objects.none(),
        label="Second referee's endpoint",
        required=False,
        empty_label="None",
        help_text="Only asked where the referee's settings below name a second referee. Another model than the teacher's.",
    )
    cloned_from = forms.ModelChoiceField(Experiment.objects.all(), required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields.update(settings_fields.form_fields())
        self._choose("endpoint", Endpoint.objects.order_by("name"))
        self._choose("second_endpoint", Endpoint.objects.order_by("name"))
        self._choose("pool", Pool.objects.filter(kind=PoolKind.SEED, rows__gt=0).order_by("name"))
        self._choose("heldout_pool", Pool.objects.filter(kind=PoolKind.HELDOUT, rows__gt=0).order_by("name"))

    def _choose(self, name: str, found: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = found

    def clean(self) -> dict[str, Any]:
        settings, errors = settings_fields.build(self.cleaned_data)
        for name, message in errors.items():
            self.add_error(name, message)
        self.settings: ExperimentSettings = settings
        return self.cleaned_data

    def main_fields(self) -> list[BoundField]:
        return [self[name] for name in ("name", "endpoint", "pool", "heldout_pool", "second_endpoint")]

    def groups(self) -> Iterator[FieldGroup]:
        for group in settings_fields.GROUPS:
            names = [one.name for _, one, _ in settings_fields.settings_of(group)]
            yield FieldGroup(
                group.name or "loop",
                group.title,
                group.about,
                [self._setting(group.name, name) for name in group.first],
                [self._setting(group.name, name) for name in names if name not in group.first],
            )

    def _setting(self, group: str, name: str) -> BoundField:
        return self[settings_fields.field_name(f"{group}.{name}" if group else name)]

    def wrong_fields(self) -> list[BoundField]:
        """In the order of the page, for the summary of errors."""
        groups = [field for group in self.groups() for field in (*group.first, *group.more)]
        return [field for field in (*self.main_fields(), *groups) if field.errors]
