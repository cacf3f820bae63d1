"""What an experiment has spent so far, per purpose, and what its budgets leave."""

from dataclasses import dataclass

from django.db.models import Count, Q, Sum

from lionweb.models import Experiment, Iteration, ModelCall
from lionweb.services.budget import Limit, limits_of, spent_usd

PURPOSE_WORDS = {"answer": "Teacher answers", "review": "Reviews", "generate": "Generated", "check": "Endpoint checks"}


@dataclass(frozen=True)
class PurposeSpend:
    title: str
    calls: int
    paid_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Spent:
    purposes: tuple[PurposeSpend, ...]
    limits: tuple[Limit, ...]


def spent_so_far(experiment: Experiment, iteration: Iteration | None) -> Spent:
    """Limits of the experiment and of the shown iteration; purposes of the whole experiment."""
    limits = limits_of(iteration) if iteration else _limits_of_a_draft(experiment)
    calls = ModelCall.objects.filter(experiment=experiment).order_by().values_list("purpose")
    sums = calls.annotate(
        all_calls=Count("pk"),
        paid_calls=Count("pk", filter=Q(paid=True)),
        tokens_in=Sum("prompt_tokens"),
        tokens_out=Sum("completion_tokens"),
        usd=Sum("cost_usd"),
    )
    by_name = {name: PurposeSpend(PURPOSE_WORDS[name], *rest) for name, *rest in sums}
    return Spent(tuple(by_name[name] for name in PURPOSE_WORDS if name in by_name), limits)


def _limits_of_a_draft(experiment: Experiment) -> tuple[Limit, ...]:
    if experiment.budget_usd is None:
        return ()
    return (Limit("the experiment", experiment.budget_usd, spent_usd(experiment=experiment)),)
