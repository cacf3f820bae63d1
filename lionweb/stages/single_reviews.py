"""Reviews of each response by itself (mode single): scored once, and put together into the reviews of pairs."""

from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from distill.records import Review as EngineReview
from distill.single_referee import ALONE, TOGETHER, put_together
from lionweb.models import Response, Review, Stage
from lionweb.stages.pairs import student_responses, teacher_responses
from lionweb.stages.reviews import PairwiseReviews

BATCH = 1000


class SingleReviews(PairwiseReviews):
    """A response is reviewed beside the first one of the same words to the same instruction, most often itself: so the same
    words, by whichever checkpoint, are paid once."""

    def _responses(self) -> QuerySet[Response]:
        iteration = self.stage.iteration
        students = student_responses(iteration)
        answered = Exists(students.filter(instruction=OuterRef("instruction")))
        teachers = teacher_responses(iteration).filter(answered)
        return Response.objects.filter(Q(pk__in=students.values("pk")) | Q(pk__in=teachers.values("pk")))

    def _beside(self) -> Subquery:
        same = Response.objects.filter(instruction=OuterRef("instruction"), text=OuterRef("text"))
        return Subquery(same.order_by("pk").values("pk")[:1])


class SinglePairs:
    """The reviews of pairs, from those of their responses. No call in it."""

    name = "single_pairs"
    queue = "default"
    label = "scores put together"

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.referee = SingleReviews(stage).referee

    def total_rows(self) -> int:
        return student_responses(self.stage.iteration).count()

    def open_rows(self) -> int:
        return self._todo().count()

    def _todo(self) -> QuerySet[Response]:
        """Student responses whose own review and whose teacher's have scores, and whose pair has none."""
        teacher = teacher_responses(self.stage.iteration).filter(instruction=OuterRef("instruction")).values("pk")[:1]
        scored = Review.objects.filter(referee=self.referee, order=ALONE, score_student__isnull=False)
        done = Review.objects.filter(
            referee=self.referee,
            order=TOGETHER,
            student_response=OuterRef("pk"),
            teacher_response=OuterRef("teacher_id"),
        )
        return (
            student_responses(self.stage.iteration)
            .annotate(teacher_id=Subquery(teacher))
            .filter(
                Exists(scored.filter(student_response=OuterRef("pk"))),
                Exists(scored.filter(student_response=OuterRef("teacher_id"))),
                ~Exists(done),
            )
        )

    def work(self) -> None:
        while rows := list(self._todo().order_by("pk")[:BATCH]):
            self._put_together(rows)

    def _put_together(self, students: list[Any]) -> None:
        wanted = [row.pk for row in students] + [row.teacher_id for row in students]
        found = Review.objects.filter(
            referee=self.referee, order=ALONE, student_response__in=wanted, score_student__isnull=False
        )
        last = {review.student_response_id: review for review in found.order_by("attempt")}
        Review.objects.bulk_create(
            (self._pair(row, last[row.teacher_id], last[row.pk]) for row in students), ignore_conflicts=True
        )

    def _pair(self, student: Any, teacher_review: Review, student_review: Review) -> Review:
        both = put_together("", _engine(teacher_review), _engine(student_review))
        return Review(
            teacher_response_id=student.teacher_id,
            student_response_id=student.pk,
            order=TOGETHER,
            referee=self.referee,
            raw=both.raw,
            explanation=both.explanation,
            score_teacher=both.score_teacher,
            score_student=both.score_student,
        )


def _engine(row: Review) -> EngineReview:
    return EngineReview("", row.order, row.raw, row.score_teacher, row.score_student, row.explanation)
