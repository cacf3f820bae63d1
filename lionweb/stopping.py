"""When people have reviewed enough, told from the random audit slice. Pure: counts in, a sentence out."""

from dataclasses import dataclass
from enum import StrEnum

from lionweb.agreement import Estimate, share, wilson

MOST_ITEMS = 1_000_000


@dataclass(frozen=True)
class AuditSlice:
    """Scored items drawn at random whatever the verdict: how many, how many are decided, and how many of those otherwise
    than the referee did."""

    drawn: int
    decided: int
    wrong: int


class Advice(StrEnum):
    DONE = "done"
    STOP = "stop"
    MORE = "more"  # the slice has not said enough yet
    GO_ON = "go on"  # too many verdicts are wrong
    UNKNOWN = "unknown"  # there is nothing to tell it from


@dataclass(frozen=True)
class Stopping:
    """`left`: wrong verdicts expected among the `unseen` items that nobody decided."""

    advice: Advice
    sentence: str
    reason: str
    rate: Estimate
    unseen: int
    left: Estimate


def stopping(audit: AuditSlice, *, unseen: int, limit_percent: float) -> Stopping:
    """Advice on whether to go on. Its sentences say what it rests on."""
    rate = share(audit.wrong, audit.decided)
    left = _times(rate, unseen)
    advice, sentence, reason = _advice(audit, rate, unseen, limit_percent)
    return Stopping(advice, sentence, reason, rate, unseen, left)


def _advice(audit: AuditSlice, rate: Estimate, unseen: int, percent: float) -> tuple[Advice, str, str]:
    limit = percent / 100
    if not unseen:
        return Advice.DONE, "Everything is decided.", "No verdict rests on the referee alone."
    if not audit.drawn:
        return (
            Advice.UNKNOWN,
            "It cannot be said when to stop.",
            "No random slice was drawn for this iteration, so nothing shows how often the referee is wrong where nobody "
            "looks. A clone of the experiment with an audit share above 0 has one.",
        )
    if rate.value is None or rate.low is None or rate.high is None:
        return Advice.MORE, _how_many(audit, limit), "Nobody has decided an item of the random slice yet."
    seen = _seen(audit, rate.value, rate.high)
    if rate.high <= limit:
        return Advice.STOP, "You can stop.", f"{seen} The limit is {percent:g} %."
    if rate.low > limit:
        return (
            Advice.GO_ON,
            "Go on: too many verdicts are wrong.",
            f"{seen} The limit is {percent:g} %; each further item decided leaves fewer wrong ones.",
        )
    return Advice.MORE, _how_many(audit, limit), f"{seen} To stop, that must be at most {percent:g} %."


def _seen(audit: AuditSlice, rate: float, high: float) -> str:
    return (
        f"People overrode {audit.wrong:,} of {audit.decided:,} randomly drawn verdicts ({100 * rate:.1f} %); with 95 % "
        f"confidence at most {100 * high:.1f} % of those that nobody checked are wrong."
    )


def _how_many(audit: AuditSlice, limit: float) -> str:
    more = items_needed(audit, limit)
    if more is None:
        return "Go on: as many verdicts as this are wrong, no number of further items would let you stop."
    items = f"{more:,} more item{'' if more == 1 else 's'} of the random slice"
    if more <= audit.drawn - audit.decided:
        return f"Decide about {items}."
    return f"It would take {items}, and only {audit.drawn - audit.decided:,} are left in it: go on through the queue."


def items_needed(audit: AuditSlice, limit: float) -> int | None:
    """How many more random items until the upper bound is at the limit, if they are wrong as often as so far."""
    rate = audit.wrong / audit.decided if audit.decided else 0.0
    if limit <= rate or limit <= 0:
        return None
    low, high = 0, 1
    while not _suffices(audit, rate, high, limit):
        low, high = high, high * 2
        if high > MOST_ITEMS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _suffices(audit, rate, middle, limit) else (middle, high)
    return high


def _suffices(audit: AuditSlice, rate: float, more: int, limit: float) -> bool:
    return wilson(audit.wrong + rate * more, audit.decided + more)[1] <= limit


def _times(rate: Estimate, items: int) -> Estimate:
    if rate.value is None or rate.low is None or rate.high is None:
        return Estimate(None, None, None, items)
    return Estimate(rate.value * items, rate.low * items, rate.high * items, items)
