"""The two forms of the threshold page: apply here, or replay as a branch."""

import math

from django import forms

LOWEST, HIGHEST = -9.0, 9.0
MODES = {
    "pairwise": "Pairwise, in both orders",
    "likelihood": "Likelihood under open weights",
    "reference": "Beside the teacher's answer as the reference",
    "single": "Each answer by itself",
    "imported": "As imported",
}


class TauField(forms.FloatField):
    def __init__(self) -> None:
        super().__init__(
            label="Threshold tau",
            min_value=LOWEST,
            max_value=HIGHEST,
            step_size=None,
            widget=forms.NumberInput(attrs={"step": "any", "inputmode": "decimal"}),
            error_messages={"required": "Give a threshold."},
        )

    def clean(self, value: object) -> float:
        tau: float = super().clean(value)
        if not math.isfinite(tau):
            raise forms.ValidationError("Give a number.")
        return tau


class ApplyForm(forms.Form):
    tau = TauField()


class ReplayForm(forms.Form):
    name = forms.CharField(label="Name of the branch", max_length=100)
    tau = TauField()
    mode = forms.ChoiceField(label="Referee")
    with_overrides = forms.BooleanField(
        label="With people's decisions",
        required=False,
        initial=True,
        help_text="Off: their verdicts, corrected answers and exclusions of this iteration stay behind.",
    )

    def __init__(self, data: object = None, *, modes: list[str], **given: object) -> None:
        super().__init__(data, **given)  # type: ignore[arg-type]
        self.fields["mode"].choices = [(mode, MODES.get(mode, mode)) for mode in modes]  # type: ignore[attr-defined]
