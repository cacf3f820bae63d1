"""Reviews that show how good the referee is: the same pairs asked a second time, and a second referee on the same pairs."""

from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import MD5, Concat

from distill.fingerprints import referee_name
from lionweb import pools_of
from lionweb.models import Endpoint, Experiment, Instruction, Response, Stage
from lionweb.stages.pairs import student_responses
from lionweb.stages.reviews import PairwiseReviews

AGAIN = "~again"
"""Ends the name under which the replies to a second asking are kept, so that no verdict rests on them."""
_DIGITS = 8


def repeated_parts(stage: Stage) -> list[PairwiseReviews]:
    """Those that the experiment has switched on; each costs calls."""
    settings = stage.iteration.experiment.settings.referee
    parts: list[PairwiseReviews] = []
    if settings.stability_percent:
        parts.append(AskedAgain(stage))
    if second_name(stage.iteration.experiment) is not None:
        parts.append(SecondReferee(stage))
    return parts


def second_name(experiment: Experiment) -> str | None:
    """The name under which the second referee's reviews are kept; None where there is none."""
    second = experiment.second_endpoint
    if experiment.settings.referee.second_referee == "off" or second is None:
        return None
    return referee_name(experiment.settings, second.author)


def sample(instructions: QuerySet[Instruction], salt: str, percent: float) -> QuerySet[Instruction]:
    """A share that looks random and is always the same: by content and salt, not by row or by time."""
    if percent >= 100:
        return instructions
    below = f"{int(percent / 100 * 16**_DIGITS):0{_DIGITS}x}"
    drawn = MD5(Concat(Value(f"{salt}/"), F("content_hash"), output_field=CharField()))
    return instructions.annotate(drawn=drawn).filter(drawn__lt=below)


class SampledReviews(PairwiseReviews):
    """On a share of the Cache Pool, where the verdicts of this iteration's student are made."""

    salt: str
    share: str  # the setting that says how many percent

    def _responses(self) -> QuerySet[Response]:
        iteration = self.stage.iteration
        experiment = iteration.experiment
        pool = pools_of.cache_pool(experiment, iteration.number)
        drawn = sample(pool, f"{self.salt}/{experiment.settings.seed}", getattr(self.settings, self.share))
        return student_responses(iteration).filter(
            author=iteration.checkpoint.author, instruction__in=drawn.values("pk")
        )


class AskedAgain(SampledReviews):
    name = "asked-again"
    label = "reviews asked a second time"
    salt, share = "again", "stability_percent"

    def _named(self, referee: str) -> str:
        return referee + AGAIN


class SecondReferee(SampledReviews):
    """On a sample, or on all pairs where the scores of both referees are averaged."""

    name = "second-referee"
    label = "reviews by the second referee"
    salt, share = "second", "second_percent"

    def _endpoint(self) -> Endpoint:
        second = self.stage.iteration.experiment.second_endpoint
        assert second is not None  # a part of the stage only where there is one
        return second

    def _responses(self) -> QuerySet[Response]:
        if self.settings.second_referee == "average":
            return student_responses(self.stage.iteration)
        return super()._responses()
