"""How agreement is written on pages."""

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lionweb.agreement import Estimate, in_words
from lionweb.templatetags.lionweb_format import NOTHING, percent

register = template.Library()


@register.filter
def kappa(estimate: Estimate | None) -> SafeString | str:
    """0.72 (0.61 to 0.83)."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return NOTHING
    value, low, high = (f"{one:.2f}".replace("-", "−") for one in (estimate.value, estimate.low, estimate.high))
    return format_html('{} <span class="muted nowrap">({} to {})</span>', value, low, high)


@register.filter
def share_of(estimate: Estimate | None) -> SafeString | str:
    """12.5 % (8 to 17)."""
    if estimate is None or estimate.value is None or estimate.low is None or estimate.high is None:
        return NOTHING
    low, high = f"{100 * estimate.low:.0f}", f"{100 * estimate.high:.0f}"
    return format_html('{} <span class="muted nowrap">({} to {})</span>', percent(estimate.value), low, high)


@register.filter
def meaning(estimate: Estimate) -> str:
    """One sentence on a kappa."""
    if estimate.value is None:
        return "Everyone gave one and the same kind, so nothing can be said beyond chance."
    word = in_words(estimate.value)
    if estimate.low is not None and estimate.low <= 0:
        return f"By custom this is called {word}, but so few items also fit with mere chance: more people should judge the same items."
    return f"By custom this is called {word}: 0 is what chance alone gives, 1 is full agreement."


@register.filter
def with_interval(estimate: Estimate | None, places: int = 2) -> SafeString | str:
    """0.31 (0.22 to 0.40); the value alone where there is no interval."""
    if estimate is None or estimate.value is None:
        return NOTHING
    if estimate.low is None or estimate.high is None:
        return _number(estimate.value, places)
    span = (_number(estimate.low, places), _number(estimate.high, places))
    return format_html('{} <span class="muted nowrap">({} to {})</span>', _number(estimate.value, places), *span)


def _number(value: float, places: int) -> str:
    return f"{value:,.{places}f}".replace("-", "−")
