from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django import forms
from django.forms import BoundField

from distill.rubric import rubric_version
from distill.settings import ExperimentSettings
from lionweb.forms import settings_fields
from lionweb.models import Endpoint, Experiment, Pool, PoolKind
from lionweb.selectors.rubrics import UsedRubric, used_rubrics


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


def _rubric_label(one: UsedRubric) -> str:
    words = f"{one.text[:60]}…" if len(one.text) > 60 else one.text
    return f"{one.version}: {words} ({one.experiments} experiment{'' if one.experiments == 1 else 's'})"


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
    earlier_rubric = forms.ChoiceField(
        required=False,
        label="A rubric used before",
        help_text="Takes the place of an empty rubric. Each is named by its version, the first digits of its hash.",
    )
    budget_usd = forms.FloatField(
        label="Budget (US dollars)",
        required=False,
        min_value=0.000001,
        max_value=1e9,
        widget=forms.NumberInput(attrs={"step": "any", "min": "0"}),
        help_text="Paid calls stop before they pass it: the experiment pauses, keeps everything, and goes on once you raise it.",
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
        self.rubrics = {one.version: one for one in used_rubrics()}
        self._offer_rubrics()
        self._choose("endpoint", Endpoint.objects.exclude(base_url__startswith="imported:").order_by("name"))
        self._choose("second_endpoint", Endpoint.objects.exclude(base_url__startswith="imported:").order_by("name"))
        self._choose("pool", Pool.objects.filter(kind=PoolKind.SEED, rows__gt=0).order_by("name"))
        self._choose("heldout_pool", Pool.objects.filter(kind=PoolKind.HELDOUT, rows__gt=0).order_by("name"))

    def _offer_rubrics(self) -> None:
        field = self.fields["earlier_rubric"]
        assert isinstance(field, forms.ChoiceField)
        offered = [(one.version, _rubric_label(one)) for one in self.rubrics.values()]
        field.choices = [("", "None: the rubric above, or the built-in one"), *offered]

    def _choose(self, name: str, found: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = found

    def clean(self) -> dict[str, Any]:
        self._take_earlier_rubric()
        settings, errors = settings_fields.build(self.cleaned_data)
        for name, message in errors.items():
            self.add_error(name, message)
        self.settings: ExperimentSettings = settings
        return self.cleaned_data

    def _take_earlier_rubric(self) -> None:
        chosen = self.rubrics.get(self.cleaned_data.get("earlier_rubric") or "")
        if chosen is None:
            return
        name = settings_fields.field_name("referee.rubric")
        written = self.cleaned_data.get(name) or ""
        if written.strip() and rubric_version(written) != chosen.version:
            self.add_error("earlier_rubric", "Another rubric is written above. Empty it, or choose none here.")
        else:
            self.cleaned_data[name] = chosen.text

    def main_fields(self) -> list[BoundField]:
        names = ("name", "endpoint", "pool", "heldout_pool", "budget_usd", "second_endpoint")
        return [self[name] for name in names]

    def groups(self) -> Iterator[FieldGroup]:
        for group in settings_fields.GROUPS:
            names = [one.name for _, one, _ in settings_fields.settings_of(group)]
            yield FieldGroup(
                group.name or "loop",
                group.title,
                group.about,
                [self._setting(group.name, name) for name in group.first],
                [self._setting(group.name, name) for name in names if name not in group.first]
                + ([self["earlier_rubric"]] if group.name == "referee" else []),
            )

    def _setting(self, group: str, name: str) -> BoundField:
        return self[settings_fields.field_name(f"{group}.{name}" if group else name)]

    def wrong_fields(self) -> list[BoundField]:
        """In the order of the page, for the summary of errors."""
        groups = [field for group in self.groups() for field in (*group.first, *group.more)]
        return [field for field in (*self.main_fields(), *groups) if field.errors]
