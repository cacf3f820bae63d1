"""Reviews by likelihood under local open weights: no order, no call, deterministic."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat

from distill.fingerprints import referee_name
from lionweb.models import Claim, Lease, Response, Review, Stage
from lionweb.services import leases
from lionweb.stages.pairs import student_responses, teacher_responses


class LikelihoodReviews:
    name = "likelihood"
    queue = "gpu"
    label = "likelihood under the referee"

    def __init__(self, stage: Stage) -> None:
        experiment = stage.iteration.experiment
        self.stage = stage
        self.settings = experiment.settings
        self.referee = referee_name(self.settings, experiment.endpoint.author)
        self.prefix = f"review:{self.referee}:"

    def total_rows(self) -> int:
        return student_responses(self.stage.iteration).count()

    def _todo(self) -> QuerySet[Response]:
        teacher = teacher_responses(self.stage.iteration).filter(instruction=OuterRef("instruction"))
        mine = Review.objects.filter(
            student_response=OuterRef("pk"), referee=self.referee, teacher_response=OuterRef("teacher_id")
        )
        rows = student_responses(self.stage.iteration).annotate(teacher_id=Subquery(teacher.values("pk")[:1]))
        return rows.filter(~Exists(mine))

    def open_rows(self) -> int:
        return self._todo().count()

    def header(self) -> dict[str, Any]:
        return {
            "op": "likelihood",
            "base": self.settings.referee.weights,
            "adapter": None,
            "home": str(django_settings.LIONWEB_HOME),
            "settings": {},
            "template": "auto",
            "system_prompt": self.settings.teacher.system_prompt,
            "seed": self.settings.seed,
            "threads": django_settings.LIONWEB_THREADS,
        }

    def claim_items(self, lease: Lease, limit: int) -> list[dict[str, Any]]:
        key = Concat(Value(self.prefix), Cast(OuterRef("pk"), CharField()), output_field=CharField())
        free = self._todo().filter(~Exists(Claim.objects.filter(key=key)))
        rows: dict[str, Any] = {
            f"{self.prefix}{r.pk}": r for r in free.select_related("instruction").order_by("pk")[:limit]
        }
        won = leases.claim(lease=lease, keys=list(rows))
        teachers = Response.objects.in_bulk([rows[k].teacher_id for k in won])
        return [
            {
                "key": f"{rows[k].pk}:{rows[k].teacher_id}",
                "text": rows[k].instruction.text,
                "input": rows[k].instruction.input,
                "teacher_response": teachers[rows[k].teacher_id].text,
                "student_response": rows[k].text,
            }
            for k in won
        ]

    @transaction.atomic
    def store_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        pairs = [tuple(int(part) for part in row["key"].split(":")) for row in rows]
        Review.objects.bulk_create(
            [
                Review(
                    teacher_response_id=teacher,
                    student_response_id=student,
                    order=row["order"],
                    referee=self.referee,
                    raw=row["raw"],
                    explanation=row["explanation"],
                    score_teacher=row["score_teacher"],
                    score_student=row["score_student"],
                )
                for row, (student, teacher) in zip(rows, pairs, strict=True)
            ],
            ignore_conflicts=True,
        )
        leases.unclaim(keys=[f"{self.prefix}{student}" for student, _ in pairs])
