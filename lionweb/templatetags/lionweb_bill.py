"""The bill on the page of an experiment."""

from typing import Any

from django import template

from lionweb.models import Experiment, Iteration
from lionweb.selectors.spend import PURPOSE_WORDS, spent_so_far
from lionweb.templatetags.lionweb_format import duration, money, short

register = template.Library()


@register.inclusion_tag("bill/_spend.html")
def spend(experiment: Experiment, iteration: Iteration | None, status: str, may_control: bool) -> dict[str, Any]:
    """Spend per purpose and budgets; a box that says what to do where the experiment pauses for its budget."""
    spent = spent_so_far(experiment, iteration)
    return {
        "experiment": experiment,
        "spent": spent,
        "is_paused": status == "paused (budget)",
        "tightest": min(spent.limits, key=lambda one: one.left_usd) if spent.limits else None,
        "may_control": may_control,
    }


@register.filter
def planned(value: float, kind: str) -> str:
    """A planned figure: a count, US dollars or seconds."""
    return {"count": short, "usd": money, "seconds": duration}[kind](value)


@register.filter
def purpose_words(purpose: str) -> str:
    return PURPOSE_WORDS.get(purpose, purpose)
