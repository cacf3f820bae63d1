"""What another threshold would make of an iteration's stored scores. Counted by Postgres, without any call."""

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connection
from django.db.models import Avg, Count, F
from django.db.models.functions import Floor

from distill.records import Purpose
from lionweb.agreement import Estimate, share
from lionweb.charts import BINS_PER_POINT, EDGE
from lionweb.models import Classification, Iteration, MemberPool, ModelCall
from lionweb.services.thresholds import why_fixed

MOST_CATEGORIES = 12
OTHER, NO_CATEGORY = "other", "no category"

# The first part reads an index alone; only what people decided, and what lies between tau and its bin's edge, is looked up.
_EXACT = """
    WITH judged AS (
        SELECT count(*) AS total, count(gap) AS scored, count(*) FILTER (WHERE gap >= %(tau)s) AS hard
        FROM lionweb_classification WHERE iteration_id = %(iteration)s AND pool = 'cache'
    ), decided AS (
        SELECT count(*) FILTER (WHERE gap >= %(tau)s) AS was_hard, count(*) FILTER (WHERE gap < %(tau)s) AS was_easy,
            count(*) FILTER (WHERE person_verdict = 'hard') AS hard, count(*) FILTER (WHERE person_verdict = 'easy') AS easy,
            count(gap) FILTER (WHERE person_kind IN ('hard', 'easy')) AS compared,
            count(*) FILTER (WHERE person_kind = CASE WHEN gap >= %(tau)s THEN 'hard' WHEN gap < %(tau)s THEN 'easy' END)
                AS agreed
        FROM lionweb_classification WHERE iteration_id = %(iteration)s AND pool = 'cache' AND person_kind <> ''
    )
    SELECT total, scored, judged.hard, judged.hard - was_hard + decided.hard,
        scored - judged.hard - was_easy + decided.easy, agreed, compared
    FROM judged, decided
"""
_CUT = """
    SELECT i.category, count(*) FROM lionweb_classification c JOIN lionweb_instruction i ON i.id = c.instruction_id
    WHERE c.iteration_id = %(iteration)s AND c.pool = 'cache' AND c.gap >= %(tau)s AND c.gap < %(edge)s
        AND c.person_kind = ''
    GROUP BY 1
"""


@dataclass(frozen=True)
class Split:
    hard: int
    easy: int
    unscored: int


@dataclass(frozen=True)
class WhatIf:
    """`cut`: by category the undecided items from tau up to the next bin's edge, which counts by bin cannot tell apart."""

    tau: float
    referee: Split
    final: Split
    agreement: Estimate
    cut: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def what_if(iteration: Iteration, tau: float) -> WhatIf:
    """Exact at any tau. `final` is what counts: with people's decisions, which no threshold moves."""
    place = tau * BINS_PER_POINT
    edge = -(-(place - EDGE) // 1) / BINS_PER_POINT
    values = {"iteration": iteration.pk, "tau": tau, "edge": edge}
    with connection.cursor() as cursor:
        cursor.execute(_EXACT, values)
        total, scored, hard, final_hard, final_easy, agreed, compared = cursor.fetchone()
        cut: dict[str, int] = {}
        if edge > tau:
            cursor.execute(_CUT, values)
            cut = {name or NO_CATEGORY: count for name, count in cursor.fetchall()}
    return WhatIf(
        tau=tau,
        referee=Split(hard, scored - hard, total - scored),
        final=Split(final_hard, final_easy, total - final_hard - final_easy),
        agreement=share(agreed, compared),
        cut=cut,
    )


def threshold_data(iteration: Iteration) -> dict[str, Any]:
    """Counts by bins of 1 / BINS_PER_POINT, from bin `first` on: enough for every threshold that is a bin's edge."""
    rows = Classification.objects.filter(iteration=iteration, pool=MemberPool.CACHE).order_by()
    counted = rows.annotate(bin=Floor(F("gap") * BINS_PER_POINT + EDGE)).values_list(
        "bin", "instruction__category", "person_kind", "person_verdict"
    )
    return _binned(
        [
            (None if number is None else int(number), category or NO_CATEGORY, kind, verdict, count)
            for number, category, kind, verdict, count in counted.annotate(n=Count("pk"))
        ]
    )


Cell = tuple[int | None, str, str, str | None, int]


def _binned(cells: list[Cell]) -> dict[str, Any]:
    numbers = [number for number, *_ in cells if number is not None]
    first, size = (min(numbers), max(numbers) - min(numbers) + 1) if numbers else (0, 0)
    sizes = Counter[str]()
    for _, category, _, _, count in cells:
        sizes[category] += count
    named = [name for name, _ in sizes.most_common(MOST_CATEGORIES)]
    columns: dict[str, list[int]] = defaultdict(lambda: [0] * size)
    by_category: dict[str, list[int]] = defaultdict(lambda: [0] * size)
    fixed = Counter[str]()
    fixed_hard = Counter[str]()
    unscored = Counter[str]()
    for number, category, kind, verdict, count in cells:
        name = category if category in named else OTHER
        fixed[verdict or ""] += count
        fixed_hard[name] += count if verdict == "hard" else 0
        if number is None:
            unscored["decided" if kind else "open"] += count
            continue
        columns["all"][number - first] += count
        if kind in ("hard", "easy"):
            columns[kind][number - first] += count
        if not kind:
            columns["open"][number - first] += count
            by_category[name][number - first] += count
    return {
        "first": first,
        "bins_per_point": BINS_PER_POINT,
        **{name: columns[name] for name in ("all", "open", "hard", "easy")},
        "unscored": sum(unscored.values()),
        "unscored_open": unscored["open"],
        "fixed": {verdict: fixed[verdict] for verdict in ("hard", "easy", "unscored")},
        "categories": {
            name: {"open": by_category[name], "hard": fixed_hard[name]}
            for name in [*named, *([OTHER] if len(sizes) > len(named) else [])]
        },
    }


@dataclass(frozen=True)
class NextStage:
    """`cost_per_call` is None where no call of the generator was paid for on this endpoint yet."""

    hard: int
    easy: int
    cost_per_call: float | None
    calls_measured: int
    measured_here: bool

    @property
    def calls(self) -> int:
        return self.hard + self.easy

    @property
    def cost_usd(self) -> float | None:
        return None if self.cost_per_call is None else self.cost_per_call * self.calls


def next_stage(iteration: Iteration) -> NextStage:
    """What the generation asks for: the counts of the settings, whatever the threshold."""
    experiment = iteration.experiment
    settings = experiment.settings.generator
    paid = ModelCall.objects.filter(purpose=Purpose.GENERATE, paid=True)
    here, count = _mean(paid.filter(experiment=experiment))
    if count:
        return NextStage(settings.hard, settings.easy, here, count, True)
    elsewhere, count = _mean(paid.filter(endpoint=experiment.endpoint_id))
    return NextStage(settings.hard, settings.easy, elsewhere, count, False)


def _mean(calls: Any) -> tuple[float | None, int]:
    found = calls.aggregate(mean=Avg("cost_usd"), n=Count("pk"))
    return found["mean"], found["n"]


@dataclass(frozen=True)
class Replayed:
    """A branch's iteration beside the one that it replays, by the same instructions of the Cache Pool."""

    source: Iteration
    before: Split
    after: Split
    changed: int


_CHANGED = """
    SELECT count(*) FROM lionweb_classification mine JOIN lionweb_classification theirs
        ON theirs.instruction_id = mine.instruction_id AND theirs.iteration_id = %s AND theirs.pool = 'cache'
    WHERE mine.iteration_id = %s AND mine.pool = 'cache' AND mine.verdict <> theirs.verdict
"""


def replayed(iteration: Iteration) -> Replayed | None:
    source = iteration.experiment.replay_of
    if source is None or source.number != iteration.number:
        return None
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [source.pk, iteration.pk])
        changed = cursor.fetchone()[0]
    return Replayed(source, _final(source), _final(iteration), changed)


def _final(iteration: Iteration) -> Split:
    rows = Classification.objects.filter(iteration=iteration, pool=MemberPool.CACHE).order_by()
    counts = dict(rows.values_list("verdict").annotate(n=Count("pk")))
    return Split(counts.get("hard", 0), counts.get("easy", 0), counts.get("unscored", 0))


@dataclass(frozen=True)
class ThresholdPage:
    """`fixed`: why the threshold cannot be applied here any more, or None. `modes`: those with stored reviews."""

    now: WhatIf
    shown: WhatIf
    next: NextStage
    fixed: str | None
    replayed: Replayed | None
    branches: tuple[Any, ...]


def threshold_page(iteration: Iteration, tau: float | None) -> ThresholdPage:
    now = what_if(iteration, iteration.tau)
    return ThresholdPage(
        now=now,
        shown=now if tau is None else what_if(iteration, tau),
        next=next_stage(iteration),
        fixed=why_fixed(iteration),
        replayed=replayed(iteration),
        branches=tuple(iteration.replays.order_by("pk")),
    )
