"""The bill before it is paid: calls, tokens, money and time of each stage, as a range around what is expected.

Pure arithmetic. `selectors/plan_ratios.py` measures the ratios, `selectors/plan_pool.py` counts the pools.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import reduce

from distill.referee_modes import CALL_MODES
from distill.settings import ExperimentSettings, RefereeSettings


@dataclass(frozen=True)
class Range:
    low: float
    expected: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Range:
        return cls(value, value, value)

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.expected + other.expected, self.high + other.high)

    def __mul__(self, other: Range | float) -> Range:
        if not isinstance(other, Range):
            other = Range.exactly(other)
        return Range(self.low * other.low, self.expected * other.expected, self.high * other.high)

    def at_most(self, limit: float) -> Range:
        return Range(min(self.low, limit), min(self.expected, limit), min(self.high, limit))

    @property
    def is_exact(self) -> bool:
        return self.high - self.low < 0.005 * max(self.expected, 1e-12)


ZERO = Range.exactly(0)


@dataclass(frozen=True)
class CallRatios:
    """Of one purpose. `source` says where they come from: endpoint, model or default."""

    source: str
    measured_calls: int
    calls_per_item: Range  # paid calls for each answer, review or kept instruction
    completion_tokens: Range
    seconds: Range


@dataclass(frozen=True)
class Prompts:
    """Mean prompt tokens of one call, from rendered messages of a sample: of the pool's, and of generated instructions."""

    answer_first: Range
    answer_new: Range
    review_first: Range
    review_new: Range
    generate_first: Range


@dataclass(frozen=True)
class Ratios:
    answer: CallRatios
    review: CallRatios
    generate: CallRatios
    prompts: Prompts
    kept_share: Range  # of the new instructions asked for, those that were kept

    @property
    def sources(self) -> dict[str, CallRatios]:
        return {"answer": self.answer, "review": self.review, "generate": self.generate}


@dataclass(frozen=True)
class PoolCounts:
    """Sizes of the first pools, and how many of their instructions have an answer that was paid for already."""

    train: int
    cache: int
    heldout: int
    to_answer: int  # Train Pool and held-out set together
    to_compare: int  # Cache Pool without those
    answered: int  # of `to_answer`
    answered_cache: int  # of `to_compare`


@dataclass(frozen=True)
class Prices:
    input_usd: float  # per million tokens, as everywhere
    output_usd: float
    batch_input_usd: float | None = None
    batch_output_usd: float | None = None
    max_concurrency: int = 64
    requests_per_minute: int = 0
    tokens_per_minute: int = 0
    second: Prices | None = None  # of the second referee

    @property
    def is_free(self) -> bool:
        return not (self.input_usd or self.output_usd)

    @property
    def has_batch(self) -> bool:
        return self.batch_input_usd is not None and self.batch_output_usd is not None


@dataclass(frozen=True)
class PlanRow:
    """One stage of one iteration. `reused`: results that are there already and are not paid for again."""

    iteration: int
    stage: str
    purpose: str
    calls: Range
    prompt_tokens: Range
    completion_tokens: Range
    usd: Range
    batch_usd: Range | None
    seconds: Range
    reused: int = 0

    @property
    def tokens(self) -> Range:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class Plan:
    counts: PoolCounts
    new_per_iteration: int
    rows: tuple[PlanRow, ...]
    ratios: Ratios
    prices: Prices

    def of_iteration(self, number: int) -> tuple[PlanRow, ...]:
        return tuple(row for row in self.rows if row.iteration == number)

    @property
    def total(self) -> PlanRow:
        return together(self.rows)

    @property
    def basis(self) -> dict[str, CallRatios]:
        """Where the ratios of the purposes come from that are paid for at all."""
        paid = {row.purpose for row in self.rows}
        return {purpose: ratios for purpose, ratios in self.ratios.sources.items() if purpose in paid}

    @property
    def has_defaults(self) -> bool:
        return any(one.source == "default" for one in self.basis.values())

    def by_purpose(self) -> Iterator[tuple[str, PlanRow]]:
        for purpose in ("answer", "review", "generate"):
            rows = [row for row in self.rows if row.purpose == purpose]
            if rows:
                yield purpose, together(rows)

    def by_iteration(self) -> Iterator[tuple[int, tuple[PlanRow, ...], PlanRow]]:
        for number in sorted({row.iteration for row in self.rows}):
            rows = self.of_iteration(number)
            yield number, rows, together(rows)


def together(rows: Iterable[PlanRow]) -> PlanRow:
    """The sum. Stages run one after the other, so their times add up."""
    all_rows = list(rows)

    def total(name: str) -> Range:
        return reduce(lambda a, b: a + b, (getattr(row, name) for row in all_rows), ZERO)

    has_batch = bool(all_rows) and all(row.batch_usd is not None for row in all_rows)
    return PlanRow(
        iteration=0,
        stage="",
        purpose="",
        calls=total("calls"),
        prompt_tokens=total("prompt_tokens"),
        completion_tokens=total("completion_tokens"),
        usd=total("usd"),
        batch_usd=total("batch_usd") if has_batch else None,
        seconds=total("seconds"),
        reused=sum(row.reused for row in all_rows),
    )


def build_plan(settings: ExperimentSettings, counts: PoolCounts, ratios: Ratios, prices: Prices) -> Plan:
    wanted = settings.generator.hard + settings.generator.easy
    rows = [
        row
        for number in range(1, settings.iterations + 1)
        for row in _iteration(settings, counts, ratios, prices, ratios.kept_share * wanted, number)
    ]
    return Plan(counts, wanted, tuple(rows), ratios, prices)


def _iteration(
    settings: ExperimentSettings, counts: PoolCounts, ratios: Ratios, prices: Prices, new: Range, number: int
) -> Iterator[PlanRow]:
    prompts = ratios.prompts
    first = number == 1
    answers = Range.exactly(counts.to_answer - counts.answered) if first else new
    yield _row(number, "answer", "answer", answers, prompts.answer_first if first else prompts.answer_new, ratios.answer,
               prices, reused=counts.answered if first else 0)  # fmt: skip
    if first and counts.to_compare:
        left = Range.exactly(counts.to_compare - counts.answered_cache)
        yield _row(
            number, "compare", "answer", left, prompts.answer_first, ratios.answer, prices, reused=counts.answered_cache
        )
    if settings.referee.mode in CALL_MODES:
        yield _judge(settings.referee, counts, ratios, prices, new, number)
    wanted = Range.exactly(settings.generator.hard + settings.generator.easy)
    yield _row(
        number, "generate", "generate", wanted * ratios.kept_share, prompts.generate_first, ratios.generate, prices
    )


def _judge(
    referee: RefereeSettings, counts: PoolCounts, ratios: Ratios, prices: Prices, new: Range, number: int
) -> PlanRow:
    """Every order of each pair. New instructions join the Cache Pool; the base is judged on the held-out set at first.

    Where each response is scored by itself, a teacher's is so once, in the iteration in which it is new.
    What is asked again, and a second referee on a sample, is of the Cache Pool alone.
    """
    first, orders = number == 1, len(CALL_MODES[referee.mode].orders)
    known = Range.exactly(orders * (counts.cache + counts.heldout * (2 if first else 1)))
    added = new * (orders * (number - 1))
    if referee.mode == "single":
        known += Range.exactly(counts.cache + counts.heldout if first else 0)
        added += ZERO if first else new
    calls = known + added
    share = added.expected / calls.expected if calls.expected else 0.0
    prompt = ratios.prompts.review_first * (1 - share) + ratios.prompts.review_new * share
    sampled = (Range.exactly(counts.cache) + new * (number - 1)) * (orders / 100)
    rows = [_row(number, "judge", "review", calls + sampled * referee.stability_percent, prompt, ratios.review, prices)]
    if referee.second_referee != "off":
        asked = calls if referee.second_referee == "average" else sampled * referee.second_percent
        rows.append(_row(number, "judge", "review", asked, prompt, ratios.review, prices.second or prices))
    return replace(together(rows), iteration=number, stage="judge", purpose="review")


def _row(
    number: int,
    stage: str,
    purpose: str,
    items: Range,
    prompt: Range,
    ratios: CallRatios,
    prices: Prices,
    reused: int = 0,
) -> PlanRow:
    calls = items * ratios.calls_per_item
    read, written = calls * prompt, calls * ratios.completion_tokens
    batch = None
    if prices.batch_input_usd is not None and prices.batch_output_usd is not None:
        direct = purpose == "generate"  # a round of the generator waits for its replies: it is no batch
        batch = _usd(read, written, prices.input_usd, prices.output_usd) if direct else (
            _usd(read, written, prices.batch_input_usd, prices.batch_output_usd)
        )  # fmt: skip
    usd = _usd(read, written, prices.input_usd, prices.output_usd)
    seconds = _seconds(calls, read + written, ratios.seconds, prices)
    return PlanRow(number, stage, purpose, calls, read, written, usd, batch, seconds, reused)


def _usd(read: Range, written: Range, input_usd: float, output_usd: float) -> Range:
    return (read * input_usd + written * output_usd) * 1e-6


def _seconds(calls: Range, tokens: Range, latency: Range, prices: Prices) -> Range:
    """So many at once as the endpoint bears, and never faster than its limits a minute."""

    def one(count: float, amount: float, seconds: float) -> float:
        if count <= 0:
            return 0.0
        rounds = max(1.0, count / max(1, min(prices.max_concurrency, count)))
        waits = [rounds * seconds]
        if prices.requests_per_minute:
            waits.append(60 * count / prices.requests_per_minute)
        if prices.tokens_per_minute:
            waits.append(60 * amount / prices.tokens_per_minute)
        return max(waits)

    return Range(
        one(calls.low, tokens.low, latency.low),
        one(calls.expected, tokens.expected, latency.expected),
        one(calls.high, tokens.high, latency.high),
    )
