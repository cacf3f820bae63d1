from django import forms


class EvaluationForm(forms.Form):
    file = forms.FileField(
        max_length=255,
        allow_empty_file=True,  # the import itself says that it is empty, with what to do
        widget=forms.FileInput(attrs={"accept": ".json,.jsonl,.ndjson"}),
        error_messages={"required": "Choose a file.", "missing": "Choose a file."},
    )
    name = forms.CharField(max_length=100, help_text="Stands wherever an overlap with it is named, e.g. MT-Bench.")
