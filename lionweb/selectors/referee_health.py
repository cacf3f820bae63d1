"""How far the referee of an iteration can be trusted: each figure with its interval, and what it means."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from django.core.cache import cache
from django.db.models import Avg, Count, F, Q, QuerySet, StdDev

from distill.discrimination import orders_needed
from distill.records import Verdict
from distill.referee_modes import CALL_MODES
from distill.settings import REPEATABLE_MODES
from lionweb import referee_words as words
from lionweb.agreement import Estimate, share
from lionweb.models import Classification, DecisionKind, Experiment, Iteration, MemberPool
from lionweb.referee_stats import mean, nothing, rank_correlation
from lionweb.selectors import referee_sums as sums
from lionweb.stages.repeated_reviews import AGAIN, second_name

FRESH_SECONDS = 5
REST = 20
"""Figures are kept so many times longer than they took to count, so that counting never costs more than a twentieth."""
T = TypeVar("T")
SAME_SCORES = "The same: in this mode a pair always gets the same scores."
NO_REPLIES = "No model is asked in this mode: this does not apply."
NO_ORDERS = "The referee reads each pair once, in no order: this does not apply."
NO_PAIRS = "No pair is asked about in this mode: this does not apply."
SWITCH_ON = "Not measured: switch it on in the settings of a clone"


@dataclass(frozen=True)
class Figure:
    """`unit`: share, points, chars or correlation. `estimate` None: `instead` says why there is none."""

    name: str
    title: str
    unit: str
    estimate: Estimate | None
    sentence: str
    instead: str = "–"


@dataclass(frozen=True)
class IterationRow:
    """The main figures of one iteration, for the trend. `flips` None: the referee has no orders."""

    number: int
    pairs: int
    flips: Estimate | None
    ties: Estimate
    unscored: Estimate
    gap: Estimate
    gap_deviation: float | None
    hard: Estimate
    agreement: Estimate
    false_hard: Estimate
    false_easy: Estimate


@dataclass(frozen=True)
class Health:
    pairs: int
    figures: tuple[Figure, ...]


def has_orders(experiment: Experiment) -> bool:
    return experiment.settings.referee.mode == "pairwise"


def health(iteration: Iteration) -> Health:
    return kept(f"referee/{iteration.pk}/health/{iteration.tau}", lambda: _health(iteration))


def kept(key: str, compute: Callable[[], T]) -> T:
    found: T | None = cache.get(key)
    if found is None:
        begun = time.monotonic()
        found = compute()
        cache.set(key, found, max(FRESH_SECONDS, REST * (time.monotonic() - begun)))
    return found


def _health(iteration: Iteration) -> Health:
    row = next(iter(_rows(Classification.objects.filter(iteration=iteration), has_orders(iteration.experiment))), None)
    if row is None:
        return Health(0, ())
    return Health(row.pairs, (*_orders(iteration, row), *_scores(row), *_asked_more(iteration)))


def _orders(iteration: Iteration, row: IterationRow) -> tuple[Figure, ...]:
    found = sums.replies(iteration)
    unparsed, reasked = share(found.unparsed, found.replies), share(found.reasked, found.replies)
    readable = (
        Figure("unparsed", "Unreadable replies", "share", unparsed, words.unparsed(unparsed)),
        Figure("reasked", "Asked again", "share", reasked, words.reasked(reasked)),
    )
    if row.flips is None:
        titles = {"flips": "Flipped with the order", "position": "Advantage of the first place"}
        none = tuple(Figure(name, title, "share", None, NO_ORDERS, "n/a") for name, title in titles.items())
        if iteration.experiment.settings.referee.mode in CALL_MODES:
            return (*none, *readable)
        return (*none, *(replace(one, estimate=None, sentence=NO_REPLIES, instead="n/a") for one in readable))
    advantage = mean(found.both_orders, found.first_mean, found.first_deviation)
    wins = share(found.first_wins, found.first_wins + found.second_wins)
    return (
        Figure("flips", "Flipped with the order", "share", row.flips, words.flips(row.flips)),
        Figure("position", "Advantage of the first place", "points", advantage, words.position(advantage, wins)),
        Figure("first_wins", "First answer wins", "share", wins, "Of the reviews in which one of the answers is better; half is fair, whichever model is better."),
        *readable,
    )  # fmt: skip


def _scores(row: IterationRow) -> tuple[Figure, ...]:
    return (
        Figure("ties", "Ties", "share", row.ties, words.ties(row.ties)),
        Figure("unscored", "Without a verdict", "share", row.unscored, words.unscored(row.unscored)),
        Figure("agreement", "Agreement with people", "share", row.agreement, words.agreement(row.agreement)),
    )


def _asked_more(iteration: Iteration) -> tuple[Figure, ...]:
    """Checks that cost calls, where the experiment has switched them on."""
    return (*_stability(iteration), *_self_preference(iteration))


def _orders_asked(iteration: Iteration) -> int:
    return orders_needed(iteration.experiment.settings.referee.mode)


def _switch_on(mode: str, how: str) -> str:
    return f"{SWITCH_ON} ({how})." if mode in REPEATABLE_MODES else NO_PAIRS


def _stability(iteration: Iteration) -> tuple[Figure, ...]:
    if not iteration.experiment.settings.referee.stability_percent:
        mode = iteration.experiment.settings.referee.mode
        sentence = SAME_SCORES if mode == "likelihood" else _switch_on(mode, "asked a second time, percent above 0")
        return (Figure("stability", "Verdict changed when asked again", "share", None, sentence),)
    found = sums.compared(iteration, sums.referee_of(iteration) + AGAIN, orders=_orders_asked(iteration))
    changed = share(found.verdicts_changed, found.n)
    distance = mean(found.n, found.distance, found.distance_deviation)
    return (
        Figure("stability", "Verdict changed when asked again", "share", changed, words.stability(changed, distance)),
        Figure("moved", "Gap moved when asked again", "points", distance, "Mean distance between the two gaps of a pair, whatever the sign."),
    )  # fmt: skip


def _self_preference(iteration: Iteration) -> tuple[Figure, ...]:
    other = second_name(iteration.experiment)
    if other is None:
        sentence = _switch_on(iteration.experiment.settings.referee.mode, "second referee: sample or average")
        return (Figure("self_preference", "Teacher's model against a second referee", "points", None, sentence),)
    found = sums.compared(iteration, other, orders=_orders_asked(iteration))
    difference, same = mean(found.n, found.mean, found.deviation), share(found.same_sign, found.n)
    ranks = rank_correlation(found.n, found.rank_correlation)
    return (
        Figure("self_preference", "Teacher's model against a second referee", "points", difference, words.self_preference(difference, same)),
        Figure("same_sign", "Both name the same better answer", "share", same, "A tie of both counts as the same."),
        Figure("ranks", "Rank correlation of both gaps", "correlation", ranks, "1: both put the pairs in the same order; 0: they have nothing in common."),
    )  # fmt: skip


def trend(experiment: Experiment) -> tuple[IterationRow, ...]:
    """Every judged iteration, oldest first."""
    rows = Classification.objects.filter(iteration__experiment=experiment)
    return kept(f"referee/{experiment.pk}/trend", lambda: _rows(rows, has_orders(experiment)))


def unpeopled(row: IterationRow) -> IterationRow:
    """Without what rests on people's decisions."""
    return replace(row, agreement=nothing(), false_hard=nothing(), false_easy=nothing())


def _rows(rows: QuerySet[Classification], orders: bool) -> tuple[IterationRow, ...]:
    """An item without scores has no verdict that could be wrong, and no gap."""
    scored = ~Q(referee_verdict=Verdict.UNSCORED)
    hard, easy = Q(referee_verdict=Verdict.HARD), Q(referee_verdict=Verdict.EASY)
    said_hard, said_easy = Q(person_kind=DecisionKind.HARD), Q(person_kind=DecisionKind.EASY)
    counted = rows.filter(pool=MemberPool.CACHE).order_by().values(number=F("iteration__number")).annotate(
        pairs=Count("pk"),
        scored=Count("pk", filter=scored),
        flipped=Count("pk", filter=scored & Q(flipped=True)),
        tied=Count("pk", filter=scored & (Q(score_teacher=F("score_student")) | Q(score_teacher=None, gap=0))),
        gap_mean=Avg("gap"),
        gap_deviation=StdDev("gap", sample=True),
        hard=Count("pk", filter=hard),
        decided=Count("pk", filter=scored & ~Q(person_kind="")),
        agreed=Count("pk", filter=scored & Q(person_kind=F("referee_verdict"))),
        hard_said=Count("pk", filter=hard & (said_hard | said_easy)),
        hard_wrong=Count("pk", filter=hard & said_easy),
        easy_said=Count("pk", filter=easy & (said_hard | said_easy)),
        easy_wrong=Count("pk", filter=easy & said_hard),
    )  # fmt: skip
    return tuple(_row(one, orders) for one in sorted(counted, key=lambda one: one["number"]))


def _row(one: Mapping[str, Any], orders: bool) -> IterationRow:
    n = one["scored"]
    return IterationRow(
        number=one["number"],
        pairs=one["pairs"],
        flips=share(one["flipped"], n) if orders else None,
        ties=share(one["tied"], n),
        unscored=share(one["pairs"] - n, one["pairs"]),
        gap=mean(n, one["gap_mean"], one["gap_deviation"]) if n else nothing(),
        gap_deviation=one["gap_deviation"],
        hard=share(one["hard"], n),
        agreement=share(one["agreed"], one["decided"]),
        false_hard=share(one["hard_wrong"], one["hard_said"]),
        false_easy=share(one["easy_wrong"], one["easy_said"]),
    )
