"""Rubrics of their own that experiments were made with."""

from collections import Counter
from dataclasses import dataclass

from django.db.models import Count

from distill.rubric import rubric_text, rubric_version
from lionweb.models import Experiment

OFFERED = 50


@dataclass(frozen=True)
class UsedRubric:
    version: str
    text: str
    experiments: int


def used_rubrics() -> list[UsedRubric]:
    """Those used most often first; the built-in one is not among them."""
    rows = Experiment.objects.order_by().values_list("settings_json__referee__rubric").annotate(Count("pk"))
    counts: Counter[str] = Counter()
    for text, count in rows:
        if text and rubric_text(text) != rubric_text(""):
            counts[rubric_text(text)] += count
    return [UsedRubric(rubric_version(text), text, count) for text, count in counts.most_common(OFFERED)]
