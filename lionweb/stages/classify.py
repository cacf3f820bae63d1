"""From reviews to verdicts: the last part of `judge`. No model in it; what people decide later stands beside it."""

import hashlib
from collections import defaultdict

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from distill.discrimination import UNSCORED, Judgement, judge
from distill.fingerprints import student_fingerprint
from distill.records import Review as EngineReview
from distill.records import Verdict
from distill.settings import ExperimentSettings
from lionweb import pools_of
from lionweb.models import Checkpoint, Classification, Instruction, MemberPool, Response, Review, Stage
from lionweb.stages.likelihood_reviews import LikelihoodReviews
from lionweb.stages.pairs import compared, teacher_responses
from lionweb.stages.reviews import PairwiseReviews

BATCH = 2000


def review_part(stage: Stage) -> PairwiseReviews | LikelihoodReviews:
    mode = stage.iteration.experiment.settings.referee.mode
    return LikelihoodReviews(stage) if mode == "likelihood" else PairwiseReviews(stage)


def falls_in_sample(content_hash: str, seed: int, percent: float) -> bool:
    """A fair and repeatable draw: by content, not by row or by time."""
    digest = hashlib.sha256(f"{seed}/{content_hash}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < percent / 100


class Classify:
    name = "classify"
    queue = "default"
    label = "verdicts"

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.iteration = stage.iteration
        self.settings = self.iteration.experiment.settings
        self.referee = review_part(stage).referee
        self.orders = 1 if self.settings.referee.mode == "likelihood" else 2

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
        heldout = set(pools_of.heldout_set(self.iteration.experiment).values_list("pk", flat=True))
        for one in compared(self.iteration):
            todo = self._todo(one.checkpoint, one.instructions).order_by("pk")
            while batch := list(todo[:BATCH]):
                self._classify(one.checkpoint, batch, heldout)

    @transaction.atomic
    def _classify(self, checkpoint: Checkpoint, batch: list[Instruction], heldout: set[int]) -> None:
        teachers = {r.instruction_id: r for r in teacher_responses(self.iteration).filter(instruction__in=batch)}
        own = Response.objects.filter(
            author=checkpoint.author, sampling_hash=student_fingerprint(self.settings), instruction__in=batch
        )
        students = {r.instruction_id: r for r in own}
        reviews = self._reviews(list(students.values()))
        rows = [
            self._row(checkpoint, i, teachers.get(i.pk), students.get(i.pk), reviews, i.pk in heldout) for i in batch
        ]
        Classification.objects.bulk_create(rows, ignore_conflicts=True)

    def _reviews(self, students: list[Response]) -> dict[tuple[int, int], list[EngineReview]]:
        """Reviews by (teacher response, student response), oldest first."""
        grouped: dict[tuple[int, int], list[EngineReview]] = defaultdict(list)
        for r in Review.objects.filter(student_response__in=students, referee=self.referee).order_by("attempt"):
            engine = EngineReview("", r.order, "", r.score_teacher, r.score_student)
            grouped[r.teacher_response_id, r.student_response_id].append(engine)
        return grouped

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
            found = reviews.get((teacher.pk, student.pk), [])
            judged = judge(found, self.settings.referee.tau, orders_needed=self.orders)
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
            for_review=not is_heldout and _for_review(self.settings, instruction.content_hash, judged),
        )


def _for_review(settings: ExperimentSettings, content_hash: str, judged: Judgement) -> bool:
    policy = settings.gates.review
    if policy == "require":
        return judged.verdict != Verdict.EASY or judged.flipped
    return policy == "sample" and falls_in_sample(content_hash, settings.seed, settings.gates.review_sample_percent)
