from django import forms


class InstructionForm(forms.Form):
    text = forms.CharField(
        label="Instruction",
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "dir": "auto"}),
        help_text="Other words make a new instruction; answers and verdicts stay with the old one.",
    )
    input = forms.CharField(
        label="Input", strip=False, required=False, widget=forms.Textarea(attrs={"rows": 5, "dir": "auto"})
    )
    category = forms.CharField(label="Category", required=False, max_length=100)
    language = forms.CharField(label="Language", required=False, max_length=16)
