from django import forms

from lionweb.forms.upload import file_field
from lionweb.models import Pool, PoolKind

BAD_LINES = (
    ("nothing", "Import nothing, and show me the bad lines"),
    ("keep", "Keep the good lines, and list the bad ones"),
)


class PoolForm(forms.Form):
    file = file_field(".json,.jsonl,.ndjson,.csv,.tsv")
    name = forms.CharField(max_length=100, help_text="Stands wherever a pool is chosen.")
    kind = forms.ChoiceField(
        choices=PoolKind.choices,
        initial=PoolKind.SEED,
        widget=forms.RadioSelect,
        label="What it is for",
        help_text="Experiments draw their first pools from an instruction pool. A held-out set is only measured on, never trained on.",
    )
    bad_lines = forms.ChoiceField(
        choices=BAD_LINES, initial="nothing", widget=forms.RadioSelect, label="If a line cannot be used"
    )

    def clean_name(self) -> str:
        name = str(self.cleaned_data["name"])
        if Pool.objects.filter(name=name).exists():
            raise forms.ValidationError(f"A pool named “{name}” is there already. Choose another name.")
        return name
