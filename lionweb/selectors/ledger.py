"""The ledger of paid calls, newest first, by keys instead of offsets; and its sums per purpose and per experiment."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Q, QuerySet, Sum

from distill.records import Purpose
from lionweb.models import Endpoint, Experiment, ModelCall
from lionweb.selectors.by_time import between, page_by_time
from lionweb.selectors.spend import PURPOSE_WORDS

PAGE_SIZE = 50
MOST_CHOICES = 500
MOST_EXPERIMENTS = 20
OUTCOMES = ("ok", "length", "truncated", "empty", "rate_limited", "server_error", "timeout", "cut_off", "refused")


@dataclass(frozen=True)
class LedgerState:
    """What the URL says. `after` and `before` are cursors: "ID:moment"; `since` and `until` are days, both included."""

    experiment: int | None = None
    endpoint: int | None = None
    purpose: str = ""
    outcome: str = ""
    since: date | None = None
    until: date | None = None
    after: str = ""
    before: str = ""

    def query(self, **changes: Any) -> str:
        changed = replace(self, **changes)
        values = {one.name: getattr(changed, one.name) for one in fields(changed)}
        return urlencode({name: value for name, value in values.items() if value not in ("", None)})

    @property
    def is_filtered(self) -> bool:
        return self.query(after="", before="") != ""


@dataclass(frozen=True)
class LedgerPage:
    """`newer` and `older` are queries of the neighbouring pages; empty where there are none."""

    rows: tuple[ModelCall, ...]
    newer: str
    older: str


@dataclass(frozen=True)
class LedgerSum:
    title: str
    experiment: int | None
    calls: int
    paid_calls: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float


@dataclass(frozen=True)
class LedgerTotals:
    """`experiments` holds the dearest ones; `more` how many others there are."""

    all: LedgerSum
    purposes: tuple[LedgerSum, ...]
    experiments: tuple[LedgerSum, ...]
    more: int


@dataclass(frozen=True)
class LedgerChoices:
    experiments: tuple[Experiment, ...]
    endpoints: tuple[Endpoint, ...]
    purposes: tuple[tuple[str, str], ...]
    outcomes: tuple[str, ...]


def calls_of(state: LedgerState) -> QuerySet[ModelCall]:
    """What the filters let through, in no order yet."""
    exact = {
        "experiment": state.experiment,
        "endpoint": state.endpoint,
        "purpose": state.purpose,
        "outcome": state.outcome,
    }
    found = ModelCall.objects.filter(**{name: value for name, value in exact.items() if value not in ("", None)})
    return between(found, state.since, state.until)


def ledger_page(state: LedgerState) -> LedgerPage:
    related = ("endpoint", "experiment", "stage__iteration")
    found = calls_of(state).select_related(*related)
    page = page_by_time(found, after=state.after, before=state.before, size=PAGE_SIZE)
    return LedgerPage(
        rows=page.rows,
        newer=state.query(before=page.newer, after="") if page.newer else "",
        older=state.query(after=page.older, before="") if page.older else "",
    )


_SUMS: dict[str, Any] = {
    "calls": Count("pk"),
    "paid_calls": Count("pk", filter=Q(paid=True)),
    "read": Sum("prompt_tokens", default=0),
    "written": Sum("completion_tokens", default=0),
    "usd": Sum("cost_usd", default=0.0),
}


def ledger_totals(state: LedgerState) -> LedgerTotals:
    calls = calls_of(state).order_by()
    by_purpose: dict[str, Any] = {row["purpose"]: row for row in calls.values("purpose").annotate(**_SUMS)}
    purposes = tuple(_sum(title, None, by_purpose[name]) for name, title in PURPOSE_WORDS.items() if name in by_purpose)
    grouped: Any = calls.values("experiment").annotate(**_SUMS)
    grouped = grouped.order_by("-usd", "-calls")
    dearest: list[Any] = list(grouped[:MOST_EXPERIMENTS])
    names = dict(Experiment.objects.filter(pk__in=[row["experiment"] for row in dearest]).values_list("pk", "name"))
    experiments = tuple(_sum(names.get(row["experiment"], "no experiment"), row["experiment"], row) for row in dearest)
    more = grouped.count() - len(dearest) if len(dearest) == MOST_EXPERIMENTS else 0
    return LedgerTotals(_sum("Together", None, calls.aggregate(**_SUMS)), purposes, experiments, more)


def _sum(title: str, experiment: int | None, row: dict[str, Any]) -> LedgerSum:
    return LedgerSum(title, experiment, row["calls"], row["paid_calls"], row["read"], row["written"], row["usd"])


EXPORT_HEADER = (
    "id",
    "at",
    "endpoint",
    "model",
    "experiment",
    "experiment_name",
    "iteration",
    "stage",
    "purpose",
    "outcome",
    "paid",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "latency_seconds",
)


def exported(state: LedgerState) -> Iterator[tuple[Any, ...]]:
    """All rows that the filters let through, newest first, fetched as they are asked for."""
    rows = calls_of(state).order_by("-at", "-id").values_list(
        "id", "at", "endpoint__name", "endpoint__model", "experiment_id", "experiment__name", "stage__iteration__number",
        "stage__kind", "purpose", "outcome", "paid", "prompt_tokens", "completion_tokens", "cost_usd", "latency_seconds",
    )  # fmt: skip
    for pk, at, *rest in rows.iterator(chunk_size=2000):
        yield (pk, at.isoformat(), *("" if value is None else value for value in rest))


def ledger_choices() -> LedgerChoices:
    return LedgerChoices(
        experiments=tuple(Experiment.objects.only("name").order_by("-pk")[:MOST_CHOICES]),
        endpoints=tuple(Endpoint.objects.only("name").order_by("name")[:MOST_CHOICES]),
        purposes=tuple((purpose.value, PURPOSE_WORDS[purpose.value]) for purpose in Purpose),
        outcomes=OUTCOMES,
    )
