"""How many calls an experiment will make, counted from its settings and the sizes of its pools."""

from dataclasses import dataclass

from distill.settings import ExperimentSettings
from lionweb.models import Endpoint

CALLS_A_PAIR = {"pairwise": 2, "reference": 1, "single": 2, "likelihood": 0, "imported": 0}


@dataclass(frozen=True)
class CallCounts:
    """At most so many calls, if nothing was answered before and no call has to be repeated."""

    answers: int
    reviews: int
    generated: int

    @property
    def total(self) -> int:
        return self.answers + self.reviews + self.generated


@dataclass(frozen=True)
class Estimate:
    train: int
    cache: int
    heldout: int
    new_per_iteration: int
    first: CallCounts
    all: CallCounts
    iterations: int
    output_usd_at_most: float


def estimate(
    settings: ExperimentSettings, *, pool_rows: int, heldout_rows: int | None, endpoint: Endpoint | None
) -> Estimate | None:
    """None where the pool is too small for the sizes asked for. `heldout_rows` None: split off the pool."""
    sizes = settings.pools
    heldout = sizes.heldout if heldout_rows is None else min(sizes.heldout or heldout_rows, heldout_rows)
    left = pool_rows - heldout if heldout_rows is None else pool_rows
    train, cache = sizes.train or left, sizes.cache or left
    if left < 1 or train > left or cache > left:
        return None
    rounds = [_round(settings, train, cache, heldout, number) for number in range(1, settings.iterations + 1)]
    whole = CallCounts(
        sum(one.answers for one in rounds), sum(one.reviews for one in rounds), sum(one.generated for one in rounds)
    )
    new = settings.generator.hard + settings.generator.easy
    cost = _output_cost(settings, whole, endpoint)
    return Estimate(train, cache, heldout, new, rounds[0], whole, settings.iterations, cost)


def _round(settings: ExperimentSettings, train: int, cache: int, heldout: int, number: int) -> CallCounts:
    """New instructions join the Cache Pool, so it grows; the base is judged on the held-out set once, at the start."""
    new = settings.generator.hard + settings.generator.easy
    compared = cache + (number - 1) * new + heldout * (2 if number == 1 else 1)
    return CallCounts(
        answers=max(train, cache) + heldout if number == 1 else new,
        reviews=CALLS_A_PAIR[settings.referee.mode] * compared,
        generated=new,
    )


def _output_cost(settings: ExperimentSettings, calls: CallCounts, endpoint: Endpoint | None) -> float:
    tokens = (
        calls.answers * settings.teacher.max_tokens
        + calls.reviews * settings.referee.max_tokens
        + calls.generated * settings.generator.max_tokens
    )
    return tokens * (endpoint.output_usd_per_million if endpoint else 0.0) / 1e6
