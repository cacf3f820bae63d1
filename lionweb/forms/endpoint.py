from typing import Any

from django import forms

from distill.endpoint_url import safe_base_url
from distill.errors import EndpointError
from lionweb.models import Endpoint

NO_LIMIT = "0: no known limit."
BATCH_PRICES = ("batch_input_usd_per_million", "batch_output_usd_per_million")


class EndpointForm(forms.ModelForm):
    """The key is write-only: it is never filled in, and left empty the stored one stays."""

    api_key = forms.CharField(
        required=False,
        max_length=4000,
        label="API key",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "spellcheck": "false"}),
    )

    class Meta:
        model = Endpoint
        fields = [
            "name",
            "base_url",
            "model",
            "max_concurrency",
            "requests_per_minute",
            "tokens_per_minute",
            "input_usd_per_million",
            "output_usd_per_million",
            "batch_input_usd_per_million",
            "batch_output_usd_per_million",
        ]
        labels = {
            "base_url": "Base URL",
            "model": "Model",
            "max_concurrency": "Concurrent requests",
            "requests_per_minute": "Requests per minute",
            "tokens_per_minute": "Tokens per minute",
            "input_usd_per_million": "Input price",
            "output_usd_per_million": "Output price",
            "batch_input_usd_per_million": "Input price in batches",
            "batch_output_usd_per_million": "Output price in batches",
        }
        help_texts = {
            "name": "Stands wherever an endpoint is chosen.",
            "base_url": "Of any OpenAI-compatible server, for example https://api.openai.com/v1 or http://127.0.0.1:8000/v1.",
            "model": "The model's name as this server spells it.",
            "max_concurrency": "Most requests in flight at once, over all workers together.",
            "requests_per_minute": NO_LIMIT,
            "tokens_per_minute": NO_LIMIT,
            "input_usd_per_million": "US dollars per million prompt tokens; 0 where nothing is paid.",
            "output_usd_per_million": "US dollars per million answer tokens.",
            "batch_input_usd_per_million": "Empty where the endpoint takes no batches.",
            "batch_output_usd_per_million": "Empty where the endpoint takes no batches.",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = bool(self.instance.api_key_encrypted)
        self.fields["api_key"].help_text = (
            "A key is stored and not shown. Enter a new one to replace it, or leave this empty to keep it."
            if stored
            else "Encrypted when stored, and never shown again. Empty for servers that need none."
        )
        self.fields["max_concurrency"] = self._number("max_concurrency", least=1, most=10_000)
        for name in ("requests_per_minute", "tokens_per_minute"):
            self.fields[name] = self._number(name, least=0, most=2_000_000_000)
        for name in ("input_usd_per_million", "output_usd_per_million"):
            shown = self.fields[name]
            self.fields[name] = forms.FloatField(
                min_value=0,
                max_value=1_000_000,
                initial=0,
                step_size=None,
                label=shown.label,
                help_text=shown.help_text,
            )
            self.fields[name].widget.attrs["step"] = "any"
        for name in BATCH_PRICES:
            shown = self.fields[name]
            self.fields[name] = forms.FloatField(
                min_value=0, max_value=1_000_000, required=False, label=shown.label, help_text=shown.help_text
            )
            self.fields[name].widget.attrs["step"] = "any"

    def _number(self, name: str, *, least: int, most: int) -> forms.IntegerField:
        shown = self.fields[name]
        return forms.IntegerField(
            min_value=least, max_value=most, initial=shown.initial, label=shown.label, help_text=shown.help_text
        )

    def clean_base_url(self) -> str:
        try:
            return safe_base_url(self.cleaned_data["base_url"])
        except EndpointError as error:
            raise forms.ValidationError(str(error)) from error

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        lacking = [name for name in BATCH_PRICES if given.get(name) is None]
        if len(lacking) == 1 and not self.errors:
            self.add_error(lacking[0], "Give both batch prices, or leave both empty.")
        return given

    def clean_api_key(self) -> str:
        key = str(self.cleaned_data["api_key"])
        if not key.isascii() or any(character.isspace() for character in key):
            raise forms.ValidationError("A key holds neither blanks nor letters outside ASCII. Copy it again.")
        return key

    @property
    def who(self) -> list[forms.BoundField]:
        return [self[name] for name in ("name", "model", "base_url", "api_key")]

    @property
    def limits(self) -> list[forms.BoundField]:
        return [self[name] for name in ("max_concurrency", "requests_per_minute", "tokens_per_minute")]

    @property
    def prices(self) -> list[forms.BoundField]:
        return [self[name] for name in ("input_usd_per_million", "output_usd_per_million", *BATCH_PRICES)]
