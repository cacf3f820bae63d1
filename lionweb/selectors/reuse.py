"""What an experiment used without paying: answers and reviews that others, or the same words before, had paid for.

Each stored answer or review was brought by exactly one completed call, so what was used less what the ledger shows for
this experiment was paid for elsewhere.
"""

from dataclasses import dataclass

from django.db.models import Avg, Count, F, QuerySet, Sum

from distill.fingerprints import referee_name
from distill.records import Purpose
from distill.referee_modes import CALL_MODES, MODE_OF_ORDER
from distill.teacher import answer_fingerprint
from lionweb.models import Classification, Experiment, Membership, ModelCall, Response, Review
from lionweb.stages.repeated_reviews import AGAIN, second_name

COMPLETED = ("ok", "length", "truncated", "empty")


@dataclass(frozen=True)
class Saved:
    """Tokens and money of reviews are those of a mean review: the single ones are not kept."""

    answers: int = 0
    answer_tokens: int = 0
    answer_usd: float = 0.0
    reviews: int = 0
    review_tokens: float = 0.0
    review_usd: float = 0.0

    @property
    def any(self) -> bool:
        return bool(self.answers or self.reviews)

    @property
    def usd(self) -> float:
        return self.answer_usd + self.review_usd


def saved_by_reuse(experiment: Experiment) -> Saved:
    answers, tokens, usd = _answers(experiment)
    reviews = _reviews(experiment)
    mean = _mean_review(experiment) if reviews else (0.0, 0.0)
    return Saved(answers, tokens, usd, reviews, reviews * mean[0], reviews * mean[1])


def _completed(experiment: Experiment, purpose: Purpose) -> QuerySet[ModelCall]:
    return ModelCall.objects.filter(experiment=experiment, purpose=purpose, outcome__in=COMPLETED)


def _answers(experiment: Experiment) -> tuple[int, int, float]:
    members = Membership.objects.filter(experiment=experiment).values("instruction")
    used = Response.objects.filter(
        author=experiment.endpoint.author,
        sampling_hash=answer_fingerprint(experiment.settings.teacher),
        instruction__in=members,
    )
    sums = {
        "count": Count("pk"),
        "tokens": Sum(F("prompt_tokens") + F("completion_tokens"), default=0),
        "usd": Sum("cost_usd", default=0.0),
    }
    all_used, paid = used.aggregate(**sums), _completed(experiment, Purpose.ANSWER).aggregate(**sums)
    count = max(0, all_used["count"] - paid["count"])
    if not count:
        return 0, 0, 0.0
    return count, max(0, all_used["tokens"] - paid["tokens"]), max(0.0, all_used["usd"] - paid["usd"])


def _reviews(experiment: Experiment) -> int:
    if experiment.settings.referee.mode not in CALL_MODES:
        return 0  # computed, not paid for
    judged = Classification.objects.filter(iteration__experiment=experiment)
    asked_about = judged.order_by().values_list("student_response")
    if experiment.settings.referee.mode == "single":  # the teacher's answers were scored by themselves too
        asked_about = asked_about.union(judged.order_by().values_list("teacher_response"))
    own = referee_name(experiment.settings, experiment.endpoint.author)
    names = [name for name in (own, own + AGAIN, second_name(experiment)) if name]
    used = Review.objects.filter(referee__in=names, order__in=MODE_OF_ORDER, student_response__in=asked_about)
    open_stage = experiment.iterations.filter(stages__kind="judge", stages__status__in=("running", "paused"))
    if open_stage.exists():
        return 0  # its verdicts come last: until then there is nothing to compare with
    return max(0, used.count() - _completed(experiment, Purpose.REVIEW).count())


def _mean_review(experiment: Experiment) -> tuple[float, float]:
    """Tokens and money of one review at this endpoint."""
    calls = ModelCall.objects.filter(endpoint=experiment.endpoint, purpose=Purpose.REVIEW, outcome__in=COMPLETED)
    mean = calls.aggregate(tokens=Avg(F("prompt_tokens") + F("completion_tokens")), usd=Avg("cost_usd"))
    return float(mean["tokens"] or 0.0), float(mean["usd"] or 0.0)
