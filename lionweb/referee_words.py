"""What the figures of referee health mean, one plain sentence each. Pure: estimates in, words out."""

from lionweb.agreement import Estimate

FEW = 30
"""Below so many items an interval is wide enough to say so."""


def percent(share: float) -> str:
    """Rounded as in the column of values, so that the sentence beside it says the same."""
    return f"{100 * share:.3g}"


def whole(share: float) -> str:
    return f"{100 * share:.0f}"


def points(value: float, places: int = 2) -> str:
    return f"{value:+.{places}f}".replace("-", "−")


def _in(estimate: Estimate, of: str, one: str) -> str:
    """In 12 % of 1,000 pairs (10 to 14 %)."""
    assert estimate.value is not None and estimate.low is not None and estimate.high is not None
    span = f"{whole(estimate.low)} to {whole(estimate.high)} %"
    return f"In {percent(estimate.value)} % of {estimate.n:,} {one if estimate.n == 1 else of} ({span})"


def _known(estimate: Estimate) -> bool:
    return estimate.value is not None and estimate.low is not None and estimate.high is not None


def _few(estimate: Estimate) -> str:
    return " So few leave a wide interval." if 0 < estimate.n < FEW else ""


def flips(rate: Estimate) -> str:
    if not _known(rate):
        return "No pair has scores in both orders yet."
    said = f"{_in(rate, 'pairs', 'pair')} the better answer changed with the order in which the two were shown."
    if (rate.low or 0) > 0.2:
        return (
            f"{said} The position decides too often: take a stronger referee, and let people review the flipped pairs."
        )
    return f"{said} In the review queue they come right after the pairs without a verdict.{_few(rate)}"


def position(advantage: Estimate, first_wins: Estimate) -> str:
    if advantage.value is None or first_wins.value is None:
        return "No pair has scores in both orders yet."
    said = (
        f"The answer shown first gets {points(advantage.value)} points more than the other, and wins "
        f"{percent(first_wins.value)} % of the reviews that see a better one."
    )
    if advantage.low is None or advantage.high is None:
        return f"{said} One pair says little."
    if advantage.low <= 0 <= advantage.high:
        return f"{said} That fits with no bias. Both orders are averaged, so that what there is cancels out."
    place = "first" if advantage.value > 0 else "second"
    return f"{said} It favours the {place} place. Both orders are averaged, so that this cancels out on the mean."


def ties(rate: Estimate) -> str:
    if not _known(rate):
        return "No pair is scored yet."
    said = f"{_in(rate, 'scored pairs', 'scored pair')} both answers got the same mean score."
    if (rate.low or 0) > 0.3:
        return f"{said} The referee tells few answers apart: a rubric or a stronger referee may help."
    return f"{said}{_few(rate)}"


def unparsed(rate: Estimate) -> str:
    if not _known(rate):
        return "No reply of this referee is stored yet."
    said = f"{_in(rate, 'replies', 'reply')} no usable scores could be read; such a reply is asked for again."
    if (rate.low or 0) > 0.05:
        return f"{said} That costs calls: turn structured output on, or raise the longest reply of the referee."
    return said


def reasked(rate: Estimate) -> str:
    if not _known(rate):
        return "No reply of this referee is stored yet."
    return f"{_in(rate, 'replies', 'reply')} the question had been put before and had to be put again."


def unscored(rate: Estimate) -> str:
    if not _known(rate):
        return "No pair is judged yet."
    if rate.value == 0:
        return "The only pair has a verdict." if rate.n == 1 else f"Every one of {rate.n:,} pairs has a verdict."
    return (
        f"{_in(rate, 'pairs', 'pair')} there is no verdict: they seed nothing, and people are asked first about them."
    )


def length(slope: Estimate, *, adjusted: bool, moved: int) -> str:
    if not _known(slope):
        return "Too few scored pairs of different lengths to tell."
    assert slope.value is not None and slope.low is not None and slope.high is not None
    said = (
        f"Each doubling of the teacher's length against the student's goes with {points(slope.value)} points of gap "
        f"({points(slope.low)} to {points(slope.high)}) over {slope.n:,} pairs."
    )
    if adjusted:
        verdicts = "verdict" if moved == 1 else "verdicts"
        return f"{said} This part is taken out of the gap before it meets tau, which changed {moved:,} {verdicts}."
    if slope.low <= 0 <= slope.high:
        return f"{said} That fits with no preference for length."
    favoured = "longer" if slope.value > 0 else "shorter"
    return (
        f"{said} The referee scores {favoured} answers higher, be it for their length or for what it allows them to say. "
        "A clone with the length-adjusted gap takes this part out."
    )


def agreement(rate: Estimate) -> str:
    if not _known(rate):
        return "Nobody has decided on a scored pair yet: open the review gate, or draw an audit slice."
    assert rate.value is not None and rate.low is not None and rate.high is not None
    verdicts = "verdict" if rate.n == 1 else "verdicts"
    return (
        f"People left {percent(rate.value)} % of {rate.n:,} {verdicts} as they are ({whole(rate.low)} to "
        f"{whole(rate.high)} %). Where doubtful pairs were reviewed first, the others agree more often.{_few(rate)}"
    )


def stability(changed: Estimate, distance: Estimate) -> str:
    if not _known(changed) or distance.value is None:
        return "No pair has been asked about a second time yet."
    said = f"{_in(changed, 'pairs asked again', 'pair asked again')} the verdict changed; the gap moved by {distance.value:.2f} points on average."
    if (changed.low or 0) > 0.1:
        return f"{said} That is chance, not judgement: lower the referee's temperature, or average two referees."
    return f"{said}{_few(changed)}"


def self_preference(difference: Estimate, same_sign: Estimate) -> str:
    if difference.value is None or same_sign.value is None:
        return "No pair has been scored by the second referee yet."
    said = (
        f"The teacher's model gives its own answers {points(difference.value)} points more over the student's than the second "
        f"referee does, on {difference.n:,} pairs; both name the same better answer in {percent(same_sign.value)} %."
    )
    if difference.low is None or difference.high is None:
        return f"{said} One pair says little."
    if difference.low > 0:
        return f"{said} It favours itself: average both referees, or raise tau by as much."
    if difference.high < 0:
        return f"{said} It is harder on itself than the other is."
    return f"{said} No preference for itself can be told from that."
