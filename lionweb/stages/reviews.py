"""Reviews by the referee model, in both orders (mode pairwise)."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import CharField, Count, Exists, OuterRef, Q, QuerySet, Subquery, Value
from django.db.models.functions import Cast, Concat

from distill.records import CallOutcome, ChatRequest, Finish, Purpose
from distill.referee import ORDERS, parse_review, referee_fingerprint, review_request
from lionweb.models import Claim, ItemFailure, Lease, Response, Review, Stage
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
        self.endpoint = experiment.endpoint
        self.settings = experiment.settings.referee
        self.referee = f"pairwise:{self.endpoint.author}#{referee_fingerprint(self.settings)}"
        self.prefix = f"review:{self.referee}:"
        self.structured = self.settings.structured_output == "on" or (
            self.settings.structured_output == "auto" and bool(self.endpoint.supports_json_schema)
        )

    def total_rows(self) -> int:
        return student_responses(self.stage.iteration).count() * len(ORDERS)

    def _todo(self, order: str) -> QuerySet[Response]:
        """Student responses whose review in this order has no scores yet, and may be asked (again)."""
        teacher = teacher_responses(self.stage.iteration).filter(instruction=OuterRef("instruction")).values("pk")[:1]
        mine = Review.objects.filter(student_response=OuterRef("pk"), order=order, referee=self.referee)
        failed = ItemFailure.objects.filter(
            stage=self.stage, key__startswith=self.prefix, attempts__gte=common.TRIES, key=self._key(order)
        )
        rows = student_responses(self.stage.iteration).annotate(teacher_id=Subquery(teacher))
        same_pair = mine.filter(teacher_response=OuterRef("teacher_id"))
        asked = same_pair.order_by().values("student_response").annotate(n=Count("pk")).values("n")
        return (
            rows.annotate(asked=Subquery(asked))
            .filter(~Exists(same_pair.filter(score_teacher__isnull=False)), ~Exists(failed))
            .filter(Q(asked__isnull=True) | Q(asked__lte=self.settings.reask))
        )

    def _key(self, order: str) -> Concat:
        return Concat(Value(f"{self.prefix}{order}:"), Cast(OuterRef("pk"), CharField()), output_field=CharField())

    def open_rows(self) -> int:
        return sum(self._todo(order).count() for order in ORDERS)

    def claim(self, lease: Lease, limit: int) -> list[ChatRequest]:
        return [request for order in ORDERS for request in self._claim_order(lease, order, max(1, limit // 2))]

    def _claim_order(self, lease: Lease, order: str, limit: int) -> list[ChatRequest]:
        claimed = Claim.objects.filter(key=self._key(order))
        free: Any = self._todo(order).filter(~Exists(claimed)).select_related("instruction").order_by("pk")[:limit]
        rows = {f"{self.prefix}{order}:{row.pk}": row for row in free}
        won = leases.claim(lease=lease, keys=list(rows))
        teachers = Response.objects.in_bulk([rows[key].teacher_id for key in won])
        return [
            review_request(
                key,
                make_pair(key, rows[key], teachers[rows[key].teacher_id]),
                order,
                self.settings,
                structured=self.structured,
                attempt=rows[key].asked or 0,
            )
            for key in won
        ]

    @transaction.atomic
    def store(self, outcomes: Sequence[CallOutcome]) -> None:
        places = {o.key: o.key.removeprefix(self.prefix).split(":") for o in outcomes}
        students = Response.objects.in_bulk([int(pk) for _, pk in places.values()])
        teachers = dict(
            teacher_responses(self.stage.iteration)
            .filter(instruction__in=[s.instruction_id for s in students.values()])
            .values_list("instruction_id", "pk")
        )
        rows = []
        for outcome in outcomes:
            order, pk = places[outcome.key]
            student = students.get(int(pk))
            if outcome.completion is not None and student is not None:
                rows.append(self._row(outcome, order, student, teachers[student.instruction_id]))
        Review.objects.bulk_create(rows, ignore_conflicts=True)
        ids = {key: students[int(pk)].instruction_id for key, (_, pk) in places.items() if int(pk) in students}
        common.write_ledger(stage=self.stage, endpoint=self.endpoint, purpose=Purpose.REVIEW, outcomes=outcomes)
        common.write_failures(stage=self.stage, outcomes=outcomes, instructions=ids)
        common.free(outcomes)

    def _row(self, outcome: CallOutcome, order: str, student: Response, teacher_id: int) -> Review:
        assert outcome.completion is not None
        done = outcome.completion
        review = parse_review(outcome.key, order, done.text, cut=done.finish in (Finish.LENGTH, Finish.TRUNCATED))
        same = Review.objects.filter(
            teacher_response=teacher_id, student_response=student, order=order, referee=self.referee
        )
        return Review(
            teacher_response_id=teacher_id,
            student_response=student,
            order=order,
            referee=self.referee,
            attempt=same.count(),
            raw=storable(review.raw),
            explanation=storable(review.explanation),
            score_teacher=review.score_teacher,
            score_student=review.score_student,
            cost_usd=done.cost_usd,
        )
