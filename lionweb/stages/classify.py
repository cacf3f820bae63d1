"""From reviews to verdicts: the last part of `judge`. No model in it; what people decide later stands beside it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from distill.discrimination import UNSCORED, Judgement, averaged, gap_and_verdict, judge, orders_needed
from distill.fingerprints import student_fingerprint
from distill.length_adjustment import adjusted, fitted_slope, length_difference
from distill.records import Review as EngineReview
from lionweb import pools_of
from lionweb.models import Checkpoint, Classification, Instruction, MemberPool, Response, Review, Stage
from lionweb.stages.imported_reviews import ImportedReviews
from lionweb.stages.likelihood_reviews import LikelihoodReviews
from lionweb.stages.pairs import compared, teacher_responses
from lionweb.stages.repeated_reviews import second_name
from lionweb.stages.review_queue import queue_up, topics_queued
from lionweb.stages.reviews import PairwiseReviews
from lionweb.stages.single_reviews import SingleReviews

BATCH = 2000


def review_part(stage: Stage) -> PairwiseReviews | LikelihoodReviews | ImportedReviews:
    mode = stage.iteration.experiment.settings.referee.mode
    if mode == "single":
        return SingleReviews(stage)
    if mode == "imported":
        return ImportedReviews(stage)
    return LikelihoodReviews(stage) if mode == "likelihood" else PairwiseReviews(stage)


class Classify:
    name = "classify"
    queue = "default"
    label = "verdicts"

    def __init__(self, stage: Stage, stated: Mapping[int, float] | None = None) -> None:
        """stated: gaps by instruction where a judge gave a preference instead of scores, so that no review has any."""
        self.stage, self.stated = stage, stated or {}
        self.iteration = stage.iteration
        self.settings = self.iteration.experiment.settings
        self.referee = review_part(stage).referee
        self.orders = orders_needed(self.settings.referee.mode)
        self.second = (
            second_name(self.iteration.experiment) if self.settings.referee.second_referee == "average" else None
        )

    def total_rows(self) -> int:
        return sum(c.instructions.count() for c in compared(self.iteration))

    def open_rows(self) -> int:
        return sum(self._todo(c.checkpoint, c.instructions).count() for c in compared(self.iteration))

    def _todo(self, checkpoint: Checkpoint, instructions: QuerySet[Instruction]) -> QuerySet[Instruction]:
        done = Classification.objects.filter(
            iteration=self.iteration, checkpoint=checkpoint, instruction=OuterRef("pk")
        )
        return instructions.filter(~Exists(done))

    def work(self) -> None:
        self.topics = topics_queued(self.iteration)
        heldout = set(pools_of.heldout_set(self.iteration.experiment).values_list("pk", flat=True))
        self.slope = self._length_slope(heldout)
        for one in compared(self.iteration):
            todo = self._todo(one.checkpoint, one.instructions).order_by("pk")
            while batch := list(todo[:BATCH]):
                self._classify(one.checkpoint, batch, heldout)

    def _length_slope(self, heldout: set[int]) -> float:
        """Of the raw gap on the difference in log length, over the scored Cache Pool: from stored reviews alone, so that
        every batch, and every run after a crash, finds the same. 0: nothing to adjust."""
        return fitted_slope(self._points(heldout)) if self.settings.referee.length_adjusted else 0.0

    def _points(self, heldout: set[int]) -> Iterator[tuple[float, float]]:
        one, pool = compared(self.iteration)[0], pools_of.cache_pool(self.iteration.experiment, self.iteration.number)
        last = 0
        while batch := list(pool.filter(pk__gt=last).order_by("pk")[:BATCH]):
            last = batch[-1].pk
            teachers, students = self._responses(one.checkpoint, batch)
            reviews = self._reviews(list(students.values()))
            for pk in sorted((teachers.keys() & students.keys()) - heldout):
                teacher, student = teachers[pk], students[pk]
                gap = self._raw(teacher, student, reviews).gap
                if gap is not None:
                    yield length_difference(teacher.text, student.text), gap

    def _responses(
        self, checkpoint: Checkpoint, batch: list[Instruction]
    ) -> tuple[dict[int, Response], dict[int, Response]]:
        """The teacher's and the student's, by instruction."""
        own = Response.objects.filter(
            author=checkpoint.author, sampling_hash=student_fingerprint(self.settings), instruction__in=batch
        )
        teachers = {r.instruction_id: r for r in teacher_responses(self.iteration).filter(instruction__in=batch)}
        return teachers, {r.instruction_id: r for r in own}

    @transaction.atomic
    def _classify(self, checkpoint: Checkpoint, batch: list[Instruction], heldout: set[int]) -> None:
        teachers, students = self._responses(checkpoint, batch)
        reviews = self._reviews(list(students.values()))
        rows = [
            self._row(checkpoint, i, teachers.get(i.pk), students.get(i.pk), reviews, i.pk in heldout) for i in batch
        ]
        queue_up(rows, self.settings, self.topics, tau=self.iteration.tau)
        Classification.objects.bulk_create(rows, ignore_conflicts=True)

    def _reviews(self, students: list[Response]) -> dict[tuple[int, int], list[EngineReview]]:
        """Reviews by (teacher response, student response), oldest first."""
        own = self._reviews_by(self.referee, students)
        if self.second is None:
            return own
        other = self._reviews_by(self.second, students)
        return {pair: averaged([own.get(pair, []), other.get(pair, [])]) for pair in own.keys() | other.keys()}

    @staticmethod
    def _reviews_by(referee: str, students: list[Response]) -> dict[tuple[int, int], list[EngineReview]]:
        grouped: dict[tuple[int, int], list[EngineReview]] = defaultdict(list)
        for r in Review.objects.filter(student_response__in=students, referee=referee).order_by("attempt"):
            engine = EngineReview("", r.order, "", r.score_teacher, r.score_student)
            grouped[r.teacher_response_id, r.student_response_id].append(engine)
        return grouped

    def _raw(
        self, teacher: Response, student: Response, reviews: dict[tuple[int, int], list[EngineReview]]
    ) -> Judgement:
        """Before any adjustment for length."""
        return judge(reviews.get((teacher.pk, student.pk), []), self.iteration.tau, orders_needed=self.orders)

    def _row(
        self,
        checkpoint: Checkpoint,
        instruction: Instruction,
        teacher: Response | None,
        student: Response | None,
        reviews: dict[tuple[int, int], list[EngineReview]],
        is_heldout: bool,
    ) -> Classification:
        judged = UNSCORED
        if teacher is not None and student is not None:
            judged = self._raw(teacher, student, reviews)
            if judged.gap is None and instruction.pk in self.stated:
                gap, verdict = gap_and_verdict(self.stated[instruction.pk], self.iteration.tau)
                judged = Judgement(None, None, gap, verdict, False)
            if self.slope:
                difference = length_difference(teacher.text, student.text)
                judged = adjusted(judged, difference, self.slope, self.iteration.tau)
        return Classification(
            iteration=self.iteration,
            checkpoint=checkpoint,
            instruction=instruction,
            pool=MemberPool.HELDOUT if is_heldout else MemberPool.CACHE,
            teacher_response=teacher,
            student_response=student,
            score_teacher=judged.score_teacher,
            score_student=judged.score_student,
            gap=judged.gap,
            flipped=judged.flipped,
            referee_verdict=judged.verdict,
        )
