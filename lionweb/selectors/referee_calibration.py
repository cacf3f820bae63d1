"""People's decisions against the referee's verdicts: how often each kind of verdict is wrong, and which threshold fits best."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.db.models.functions import Round

from distill.records import Verdict
from lionweb.agreement import Estimate, share
from lionweb.models import Classification, DecisionKind, Iteration, MemberPool
from lionweb.referee_stats import FEWEST_DECISIONS, GAP_DIGITS, Cell, Suggestion, suggest
from lionweb.selectors.referee_health import kept

MOST_CATEGORIES = 30


@dataclass(frozen=True)
class Rates:
    """Of the pairs that the referee calls hard (easy) and people called hard or easy, the share they called easy (hard)."""

    name: str
    false_hard: Estimate
    false_easy: Estimate

    @property
    def decided(self) -> int:
        return self.false_hard.n + self.false_easy.n


@dataclass(frozen=True)
class Calibration:
    """`audit`: of the random slice alone, which is what holds for the pairs that nobody reviewed. `other`: decisions that
    are neither hard nor easy (teacher wrong, bad instruction, duplicate, unsafe) and say nothing about the threshold.
    `rests_on_audit`: the suggestion is drawn from the random slice, otherwise from all decisions."""

    decided: int
    other: int
    overall: Rates
    audit: Rates
    categories: tuple[Rates, ...]
    more_categories: int
    suggestion: Suggestion
    rests_on_audit: bool
    fewest: int
    tau: float


def calibration(iteration: Iteration) -> Calibration:
    return kept(f"referee/{iteration.pk}/calibration/{iteration.tau}", lambda: _calibration(iteration))


def _decided(iteration: Iteration) -> QuerySet[Classification]:
    rows = Classification.objects.filter(iteration=iteration, pool=MemberPool.CACHE)
    return rows.exclude(person_kind="").exclude(referee_verdict=Verdict.UNSCORED).order_by()


def _calibration(iteration: Iteration) -> Calibration:
    decided = _decided(iteration)
    graded = decided.filter(person_kind__in=(DecisionKind.HARD, DecisionKind.EASY))
    categories = _categories(graded)
    other = decided.count() - sum(one.decided for one in categories)
    audit = _rates("Audit slice", graded.filter(audit_slice=True).aggregate(**_COUNTS))
    rests_on_audit = audit.decided >= FEWEST_DECISIONS
    cells = _cells(graded.filter(audit_slice=True) if rests_on_audit else graded)
    return Calibration(
        decided=sum(one.decided for one in categories),
        other=other,
        overall=_rates("All decisions", graded.aggregate(**_COUNTS)),
        audit=audit,
        categories=categories[:MOST_CATEGORIES],
        more_categories=max(0, len(categories) - MOST_CATEGORIES),
        suggestion=suggest(cells, iteration.tau, seed=iteration.experiment.settings.seed),
        rests_on_audit=rests_on_audit,
        fewest=FEWEST_DECISIONS,
        tau=iteration.tau,
    )


_COUNTS = {
    "hard": Count("pk", filter=Q(referee_verdict=Verdict.HARD)),
    "hard_wrong": Count("pk", filter=Q(referee_verdict=Verdict.HARD, person_kind=DecisionKind.EASY)),
    "easy": Count("pk", filter=Q(referee_verdict=Verdict.EASY)),
    "easy_wrong": Count("pk", filter=Q(referee_verdict=Verdict.EASY, person_kind=DecisionKind.HARD)),
}


def _rates(name: str, counts: Mapping[str, Any]) -> Rates:
    return Rates(name, share(counts["hard_wrong"], counts["hard"]), share(counts["easy_wrong"], counts["easy"]))


def _categories(graded: QuerySet[Classification]) -> tuple[Rates, ...]:
    """Most decisions first."""
    rows = graded.values(category=F("instruction__category")).annotate(**_COUNTS)
    found = (_rates(row["category"], row) for row in rows)
    return tuple(sorted(found, key=lambda one: (-one.decided, one.name)))


def _cells(graded: QuerySet[Classification]) -> Counter[Cell]:
    rows = graded.filter(gap__isnull=False).annotate(rounded=Round("gap", precision=GAP_DIGITS))
    counted = rows.values_list("rounded", "person_kind").annotate(n=Count("pk"))
    return Counter({(gap, kind == DecisionKind.HARD): n for gap, kind, n in counted})
