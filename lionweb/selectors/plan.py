"""The plan of an experiment that is about to be made, and of one that runs beside what was counted so far."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Count, F, Q, Sum

from distill.settings import ExperimentSettings
from lionweb.models import Endpoint, Experiment, ModelCall, Pool
from lionweb.plan import Plan, PlanRow, Prices, build_plan, together
from lionweb.selectors.plan_pool import planned_pool
from lionweb.selectors.plan_ratios import measure


def plan_of(
    settings: ExperimentSettings,
    pool: Pool,
    heldout_pool: Pool | None,
    endpoint: Endpoint,
    as_of: Any = None,
    second: Endpoint | None = None,
) -> Plan | None:
    """None where the pool is too small for the sizes asked for. `second`: the second referee's, of the same ratios."""
    planned = planned_pool(settings, pool, heldout_pool, endpoint, as_of)
    if planned is None:
        return None
    ratios = measure(settings, endpoint, planned.sample, as_of)
    prices = replace(prices_of(endpoint), second=prices_of(second) if second else None)
    return build_plan(settings, planned.counts, ratios, prices)


def prices_of(endpoint: Endpoint) -> Prices:
    return Prices(
        input_usd=endpoint.input_usd_per_million,
        output_usd=endpoint.output_usd_per_million,
        batch_input_usd=endpoint.batch_input_usd_per_million,
        batch_output_usd=endpoint.batch_output_usd_per_million,
        max_concurrency=endpoint.max_concurrency,
        requests_per_minute=endpoint.requests_per_minute,
        tokens_per_minute=endpoint.tokens_per_minute,
    )


@dataclass(frozen=True)
class Counted:
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: "Counted") -> "Counted":
        return Counted(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.usd + other.usd,
        )


@dataclass(frozen=True)
class Compared:
    planned: PlanRow
    counted: Counted
    status: str  # of the stage; empty: not begun


@dataclass(frozen=True)
class ComparedIteration:
    number: int
    rows: tuple[Compared, ...]
    total: Compared


@dataclass(frozen=True)
class PlanPage:
    experiment: Experiment
    plan: Plan | None
    iterations: tuple[ComparedIteration, ...]
    total: Compared | None


def plan_page(experiment: Experiment) -> PlanPage:
    """The plan as it stood before the first iteration began: later answers and ratios do not improve it."""
    first = experiment.iterations.order_by("number").first()
    plan = plan_of(
        experiment.settings,
        experiment.pool,
        experiment.heldout_pool,
        experiment.endpoint,
        as_of=first.created_at if first else None,
        second=experiment.second_endpoint,
    )
    if plan is None:
        return PlanPage(experiment, None, (), None)
    counted, statuses = _counted(experiment), _statuses(experiment)
    iterations = tuple(_compare(number, rows, counted, statuses) for number, rows, _ in plan.by_iteration())
    everything = sum((one.total.counted for one in iterations), Counted())
    return PlanPage(experiment, plan, iterations, Compared(plan.total, everything, ""))


def _compare(
    number: int,
    rows: Iterable[PlanRow],
    counted: dict[tuple[int, str], Counted],
    statuses: dict[tuple[int, str], str],
) -> ComparedIteration:
    compared = tuple(
        Compared(row, counted.get((number, row.stage), Counted()), statuses.get((number, row.stage), ""))
        for row in rows
    )
    total = sum((one.counted for one in compared), Counted())
    return ComparedIteration(number, compared, Compared(together(one.planned for one in compared), total, ""))


def _counted(experiment: Experiment) -> dict[tuple[int, str], Counted]:
    calls = ModelCall.objects.filter(experiment=experiment, stage__isnull=False).order_by()
    sums = calls.values_list("stage__iteration__number", "stage__kind").annotate(
        calls=Count("pk", filter=Q(paid=True)),
        read=Sum("prompt_tokens"),
        written=Sum("completion_tokens"),
        usd=Sum(F("cost_usd")),
    )
    return {(number, kind): Counted(*values) for number, kind, *values in sums}


def _statuses(experiment: Experiment) -> dict[tuple[int, str], str]:
    stages = experiment.iterations.values_list("number", "stages__kind", "stages__status")
    return {(number, kind): status for number, kind, status in stages if kind}
