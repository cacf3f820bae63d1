from django import forms

from lionweb.forms.upload import file_field


class EvaluationForm(forms.Form):
    file = file_field(".json,.jsonl,.ndjson")
    name = forms.CharField(max_length=100, help_text="Stands wherever an overlap with it is named, e.g. MT-Bench.")
