"""The bill on the page of an experiment."""

from typing import Any

from django import template

from lionweb.models import Experiment, Iteration
from lionweb.selectors.spend import spent_so_far

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
