"""How often the student's answer was judged the better one in an iteration, and what length had to do with it."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Avg, Count, F, FloatField, Func, Q
from django.db.models.functions import Length

from distill.judged_pairs import SideLengths, WinRate
from lionweb.agreement import Estimate, wilson
from lionweb.models import Iteration, MemberPool


@dataclass(frozen=True)
class WinRatePage:
    iteration: Iteration
    counts: WinRate
    rate: Estimate  # a tie is half a win
    longer: Estimate

    @property
    def without_ties(self) -> Estimate:
        return _share(self.counts.wins, self.counts.wins + self.counts.losses)


class Words(Func):
    """Words of a text, parted by white space."""

    function = "regexp_split_to_array"
    template = r"coalesce(cardinality(regexp_split_to_array(nullif(btrim(%(expressions)s, E' \t\r\n'), ''), '\s+')), 0)"
    output_field = FloatField()


def win_rate_page(iteration: Iteration) -> WinRatePage:
    counts = win_rate(iteration)
    return WinRatePage(
        iteration,
        counts,
        _share(counts.wins + counts.ties / 2, counts.n),
        _share(counts.longer_won, counts.longer_or_shorter_won),
    )


def win_rate(iteration: Iteration) -> WinRate:
    """Of this iteration's student on the Cache Pool, by the sign of the gap: people's verdicts are of difficulty, not of who won."""
    teacher, student = F("teacher_response__text"), F("student_response__text")
    rows = iteration.classifications.filter(pool=MemberPool.CACHE, checkpoint__iteration=iteration)
    rows = rows.annotate(teacher_length=Length(teacher), student_length=Length(student))
    longer, shorter = Q(student_length__gt=F("teacher_length")), Q(student_length__lt=F("teacher_length"))
    found: dict[str, Any] = rows.aggregate(
        wins=Count("pk", filter=Q(gap__lt=0)),
        ties=Count("pk", filter=Q(gap=0)),
        losses=Count("pk", filter=Q(gap__gt=0)),
        unparsed=Count("pk", filter=Q(gap=None)),
        longer_won=Count("pk", filter=Q(longer, gap__lt=0) | Q(shorter, gap__gt=0)),
        decided=Count("pk", filter=(longer | shorter) & (Q(gap__lt=0) | Q(gap__gt=0))),
        teacher_characters=Avg("teacher_length"),
        student_characters=Avg("student_length"),
        teacher_words=Avg(Words(teacher)),
        student_words=Avg(Words(student)),
    )
    return WinRate(
        wins=found["wins"],
        ties=found["ties"],
        losses=found["losses"],
        unparsed=found["unparsed"],
        teacher=SideLengths(found["teacher_characters"] or 0.0, found["teacher_words"] or 0.0),
        student=SideLengths(found["student_characters"] or 0.0, found["student_words"] or 0.0),
        longer_won=found["longer_won"],
        longer_or_shorter_won=found["decided"],
    )


def _share(part: float, n: int) -> Estimate:
    low, high = wilson(part, n)
    return Estimate(part / n, low, high, n) if n else Estimate(None, None, None, 0)
