from typing import Any

from django import forms

from lionweb.models import Pool

REVIEW = (
    ("sample", "A random sample, and an audit slice"),
    ("require", "Everything hard, unscored or flipped"),
    ("skip", "Nothing: only the figures are wanted"),
)


class ManyFiles(forms.FileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    widget = ManyFiles(attrs={"accept": ".json,.jsonl,.ndjson", "multiple": True})

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        given = data if isinstance(data, list | tuple) else [data]
        return [super(FilesField, self).clean(one, initial) for one in given or [None]]


class JudgedForm(forms.Form):
    pairs = FilesField(
        label="Files",
        max_length=255,
        allow_empty_file=True,  # the import itself says that it is empty
        help_text="All files of one comparison: choose several at once.",
        error_messages={"required": "Choose the files.", "missing": "Choose the files."},
    )
    name = forms.CharField(max_length=100, help_text="Of the pool and the experiment that are made.")
    teacher = forms.CharField(
        max_length=200, required=False, help_text="The model that counts as the teacher. Empty: the one named first."
    )
    judge = forms.CharField(max_length=200, required=False, help_text="Who judged, where the files do not say.")
    review = forms.ChoiceField(
        choices=REVIEW, initial="sample", widget=forms.RadioSelect, label="What people are asked about"
    )
    tau = forms.FloatField(
        required=False,
        min_value=-9,
        max_value=9,
        label="Threshold tau",
        help_text="Empty: 1.0 for scores; 0.5 for preferences, whose gap runs from -1 to 1.",
    )

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if Pool.objects.filter(name=name).exists():
            raise forms.ValidationError(f"A pool named “{name}” is there already. Choose another name.")
        return name
