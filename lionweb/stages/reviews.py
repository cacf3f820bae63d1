"""Reviews by the referee model: of the pair in both orders (pairwise), or of the student beside the reference (reference)."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import CharField, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import MD5, Cast, Concat

from distill.failures import TRIES
from distill.fingerprints import referee_name
from distill.records import CallOutcome, ChatRequest, Completion, Finish, Purpose
from distill.referee_modes import CALL_MODES
from lionweb.models import Claim, Endpoint, ItemFailure, Lease, Response, Review, Stage
from lionweb.services import leases
from lionweb.stages import outcomes as common
from lionweb.stages.pairs import make_pair, student_responses, teacher_responses
from lionweb.storable import storable


class PairwiseReviews:
    name = "reviews"
    queue = "api"
    label = "referee reviews"

    def __init__(self, stage: Stage) -> None:
        experiment = stage.iteration.experiment
        self.stage = stage
        self.endpoint = self._endpoint()
        self.settings = experiment.settings.referee
        self.referee = self._named(referee_name(experiment.settings, self.endpoint.author))
        self.mode = CALL_MODES[self.settings.mode]
        self.prefix = f"review:{self.referee}:"
        self.structured = self.settings.structured_output == "on" or (
            self.settings.structured_output == "auto" and bool(self.endpoint.supports_json_schema)
        )

    def _endpoint(self) -> Endpoint:
        return self.stage.iteration.experiment.endpoint

    def _named(self, referee: str) -> str:
        """The name under which the reviews are kept."""
        return referee

    def total_rows(self) -> int:
        return self._responses().count() * len(self.mode.orders)

    def _responses(self) -> QuerySet[Response]:
        return student_responses(self.stage.iteration)

    def _beside(self) -> Subquery:
        """The response that each is reviewed beside."""
        teacher = teacher_responses(self.stage.iteration).filter(instruction=OuterRef("instruction"))
        return Subquery(teacher.values("pk")[:1])

    def _todo(self, order: str) -> QuerySet[Response]:
        """Student responses whose review in this order has no scores yet, and may be asked (again)."""
        rows = self._responses().annotate(teacher_id=self._beside())
        same_pair = self._reviews(order).filter(student_response=OuterRef("pk"))
        asked = same_pair.order_by().values("student_response").annotate(n=Count("pk")).values("n")
        failed = ItemFailure.objects.filter(stage=self.stage, attempts__gte=TRIES, key=self._key(order))
        return (
            rows.annotate(asked=Subquery(asked))
            .filter(~Exists(same_pair.filter(score_teacher__isnull=False)), ~Exists(failed))
            .filter(Q(asked__isnull=True) | Q(asked__lte=self.settings.reask))
        )

    def _reviews(self, order: str) -> QuerySet[Review]:
        return Review.objects.filter(order=order, referee=self.referee, teacher_response=OuterRef("teacher_id"))

    def _key(self, order: str) -> Concat:
        """Names the prompt, not the row: two checkpoints that answer in the same words are reviewed once."""
        teacher = Cast(OuterRef("teacher_id"), CharField())
        return Concat(
            Value(f"{self.prefix}{order}:"), teacher, Value(":"), MD5(OuterRef("text")), output_field=CharField()
        )

    def open_rows(self) -> int:
        return sum(self._todo(order).count() for order in self.mode.orders)

    def claim(self, lease: Lease, limit: int) -> list[ChatRequest]:
        for order in self.mode.orders:
            self._copy_known(order)
        return [
            request
            for order in self.mode.orders
            for request in self._claim_order(lease, order, max(1, limit // len(self.mode.orders)))
        ]

    def _copy_known(self, order: str) -> None:
        """Reviews that an earlier checkpoint got for the very same words, paid for then."""
        twin = self._reviews(order).filter(student_response__text=OuterRef("text"))
        rows: Any = self._todo(order).filter(Q(asked__isnull=True), Exists(twin))
        for row in rows:
            known = Review.objects.filter(
                order=order, referee=self.referee, teacher_response=row.teacher_id, student_response__text=row.text
            )
            first = known.order_by("pk")[0].student_response_id
            copies = [self._copy(review, row) for review in known.filter(student_response=first)]
            Review.objects.bulk_create(copies, ignore_conflicts=True)

    @staticmethod
    def _copy(review: Review, student: Response) -> Review:
        review.pk, review.student_response, review.cost_usd = None, student, 0.0
        review._state.adding = True
        return review

    def _claim_order(self, lease: Lease, order: str, limit: int) -> list[ChatRequest]:
        claimed = Claim.objects.filter(key=self._key(order))
        free: Any = self._todo(order).filter(~Exists(claimed)).select_related("instruction").order_by("pk")[:limit]
        rows = {self._name(order, row.teacher_id, row.text): row for row in free}
        won = leases.claim(lease=lease, keys=list(rows))
        teachers = Response.objects.in_bulk([rows[key].teacher_id for key in won])
        return [
            self.mode.request(
                key,
                make_pair(key, rows[key], teachers[rows[key].teacher_id]),
                order,
                self.settings,
                self.structured,
                rows[key].asked or 0,
            )
            for key in won
        ]

    def _name(self, order: str, teacher_id: int, text: str) -> str:
        """The same as `_key`, computed here."""
        return f"{self.prefix}{order}:{teacher_id}:{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"

    @transaction.atomic
    def store(self, outcomes: Sequence[CallOutcome]) -> None:
        places = {o.key: o.key.removeprefix(self.prefix).split(":") for o in outcomes}
        teachers = Response.objects.in_bulk({int(teacher) for _, teacher, _ in places.values()})
        students = self._students([teacher.instruction_id for teacher in teachers.values()])
        asked = self._asked([student.pk for same in students.values() for student in same])
        rows = []
        for outcome in outcomes:
            order, teacher, digest = places[outcome.key]
            if outcome.completion is None:
                continue
            for at, student in enumerate(students[teachers[int(teacher)].instruction_id, digest]):
                attempt = asked.get((int(teacher), student.pk, order), 0)
                row = self._row(outcome.key, outcome.completion, order, student, teachers[int(teacher)], attempt)
                row.cost_usd = 0.0 if at else row.cost_usd  # one call, however many students said the same
                rows.append(row)
        Review.objects.bulk_create(rows, ignore_conflicts=True)
        ids = {key: teachers[int(teacher)].instruction_id for key, (_, teacher, _) in places.items()}
        common.write_ledger(stage=self.stage, endpoint=self.endpoint, purpose=Purpose.REVIEW, outcomes=outcomes)
        common.write_failures(stage=self.stage, outcomes=outcomes, instructions=ids)
        common.free(outcomes)

    def _students(self, instructions: list[int]) -> dict[tuple[int, str], list[Response]]:
        """The compared student responses by instruction and digest of their words."""
        found: dict[tuple[int, str], list[Response]] = defaultdict(list)
        rows = self._responses().filter(instruction__in=instructions)
        for row in rows.annotate(digest=MD5("text")):
            found[row.instruction_id, row.digest].append(row)
        return found

    def _asked(self, students: list[int]) -> dict[tuple[int, int, str], int]:
        """How many replies are stored already, by teacher response, student response and order."""
        same = Review.objects.filter(student_response__in=students, referee=self.referee)
        counted = same.values_list("teacher_response", "student_response", "order").annotate(n=Count("pk"))
        return {(teacher, student, order): n for teacher, student, order, n in counted}

    def _row(
        self, key: str, done: Completion, order: str, student: Response, teacher: Response, attempt: int
    ) -> Review:
        cut = done.finish in (Finish.LENGTH, Finish.TRUNCATED)
        review = self.mode.read(key, order, done.text, cut, teacher.text)
        return Review(
            teacher_response=teacher,
            student_response=student,
            order=order,
            referee=self.referee,
            attempt=attempt,
            raw=storable(review.raw),
            explanation=storable(review.explanation),
            score_teacher=review.score_teacher,
            score_student=review.score_student,
            cost_usd=done.cost_usd,
        )
