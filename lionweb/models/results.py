"""What models and people produced. Never rewritten."""

from django.db import models
from django.db.models.functions import Coalesce

from distill.records import Difficulty, Finish, Verdict
from lionweb.models.review import OPEN_STATES, DecisionKind, ReviewState


class AuthorKind(models.TextChoices):
    TEACHER = "teacher", "Teacher"
    STUDENT = "student", "Student"
    PERSON = "person", "Person"


class Response(models.Model):
    """One answer. Paid for once: unique by instruction, author and sampling settings."""

    instruction = models.ForeignKey("Instruction", models.PROTECT, related_name="responses")
    author_kind = models.CharField(max_length=8, choices=AuthorKind.choices)
    author = models.CharField(max_length=300)  # "model@url" or "checkpoint:id"
    sampling_hash = models.CharField(max_length=16)
    checkpoint = models.ForeignKey("Checkpoint", models.CASCADE, null=True, related_name="responses")
    text = models.TextField()
    finish = models.CharField(max_length=16)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instruction", "author", "sampling_hash"], name="response_paid_once"),
            models.CheckConstraint(condition=models.Q(author_kind__in=AuthorKind.values), name="response_author_kind"),
            models.CheckConstraint(condition=models.Q(finish__in=[f.value for f in Finish]), name="response_finish"),
        ]
        indexes = [models.Index(fields=["author", "sampling_hash"], name="response_by_author")]


class Review(models.Model):
    """One referee reply for one order of one pair; a further attempt is a further row."""

    teacher_response = models.ForeignKey(Response, models.PROTECT, related_name="+")
    student_response = models.ForeignKey(Response, models.CASCADE, related_name="reviews")
    order = models.CharField(max_length=16)
    referee = models.CharField(max_length=330)  # "mode:model@url#fingerprint"
    attempt = models.PositiveSmallIntegerField(default=0)
    raw = models.TextField()
    explanation = models.TextField(blank=True)
    score_teacher = models.FloatField(null=True)
    score_student = models.FloatField(null=True)
    cost_usd = models.FloatField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["teacher_response", "student_response", "order", "referee", "attempt"], name="review_paid_once"
            ),
            models.CheckConstraint(
                condition=models.Q(score_teacher__isnull=True, score_student__isnull=True)
                | models.Q(score_teacher__range=(1, 10), score_student__range=(1, 10)),
                name="review_scores_both_or_none",
            ),
        ]

    @property
    def is_preference(self) -> bool:
        """Imported: the judge named the better answer and gave no scores. What was unreadable has an order or no words."""
        said = self.referee.startswith("imported:") and self.order == "none" and self.explanation
        return self.score_teacher is None and bool(said)


VERDICTS = [(v.value, v.value) for v in Verdict]


class Classification(models.Model):
    """Hard, easy or unscored. The referee's verdict and the person's are two fields; the final one follows from them.

    What persons decided stands in Decision rows; `person_*`, `corrected_response` and `review_state` are what follows
    from those together, written by services/settling.py alone.
    """

    iteration = models.ForeignKey("Iteration", models.CASCADE, related_name="classifications")
    checkpoint = models.ForeignKey("Checkpoint", models.CASCADE, related_name="classifications")
    instruction = models.ForeignKey("Instruction", models.PROTECT, related_name="classifications")
    pool = models.CharField(max_length=8, default="cache")
    teacher_response = models.ForeignKey(Response, models.PROTECT, null=True, related_name="+")
    student_response = models.ForeignKey(Response, models.CASCADE, null=True, related_name="+")
    score_teacher = models.FloatField(null=True)
    score_student = models.FloatField(null=True)
    gap = models.FloatField(null=True)
    flipped = models.BooleanField(default=False)
    referee_verdict = models.CharField(max_length=8, choices=VERDICTS)
    person_verdict = models.CharField(max_length=8, choices=VERDICTS, null=True)  # noqa: DJ001
    person = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+")
    person_reason = models.TextField(blank=True)
    person_at = models.DateTimeField(null=True)
    person_kind = models.CharField(max_length=16, blank=True, choices=DecisionKind.choices)
    corrected_response = models.ForeignKey(Response, models.PROTECT, null=True, related_name="+")
    for_review = models.BooleanField(default=False)
    audit_slice = models.BooleanField(default=False)  # drawn at random, whatever the referee said
    review_state = models.CharField(max_length=10, blank=True, choices=ReviewState.choices)
    queue_rank = models.FloatField(default=0)  # the queue gives out the lowest first
    opinions_needed = models.PositiveSmallIntegerField(default=1)
    opinions = models.PositiveSmallIntegerField(default=0)
    verdict = models.GeneratedField(
        expression=Coalesce("person_verdict", "referee_verdict"),
        output_field=models.CharField(max_length=8),
        db_persist=True,
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["iteration", "checkpoint", "instruction"], name="classified_once"),
            models.CheckConstraint(
                condition=models.Q(referee_verdict__in=[v.value for v in Verdict]), name="referee_verdict_is_known"
            ),
            models.CheckConstraint(
                condition=models.Q(person_verdict__isnull=True)
                | models.Q(person_verdict__in=[v.value for v in Verdict]),
                name="person_verdict_is_known",
            ),
            models.CheckConstraint(
                condition=models.Q(review_state__in=ReviewState.values), name="review_state_is_known"
            ),
        ]
        indexes = [
            models.Index(fields=["iteration", "pool", "verdict", "id"], name="classified_by_verdict"),
            models.Index(fields=["iteration", "pool", "gap", "id"], name="classified_by_gap"),
            *(
                models.Index(fields=["iteration", "checkpoint", *fields, "instruction"], name=f"classified_list_{name}")
                for name, fields in {
                    "gap": ["gap"],
                    "verdict": ["verdict", "gap"],
                    "teacher": ["score_teacher"],
                    "student": ["score_student"],
                }.items()
            ),
            models.Index(
                fields=["iteration", "checkpoint", "person_kind", "instruction"],
                name="classified_list_decided",
                condition=models.Q(person_at__isnull=False),
            ),
            models.Index(
                fields=["iteration", "checkpoint", "review_state", "instruction"],
                name="classified_list_state",
                condition=~models.Q(review_state=""),
            ),
            models.Index(
                fields=["iteration", "queue_rank", "id"],
                name="classified_to_review",
                condition=models.Q(review_state__in=OPEN_STATES),
            ),
            models.Index(
                fields=["iteration", "queue_rank", "id"],
                name="classified_in_queue",
                condition=models.Q(for_review=True),
            ),
            models.Index(
                fields=["iteration", "review_state", "queue_rank", "id"],
                name="classified_by_state",
                condition=models.Q(for_review=True),
            ),
            models.Index(
                fields=["iteration"],
                include=["referee_verdict", "person_kind"],
                name="classified_audit_slice",
                condition=models.Q(audit_slice=True),
            ),
            models.Index(
                fields=["iteration"],
                include=["referee_verdict", "person_kind"],
                name="classified_by_people",
                condition=~models.Q(person_kind=""),
            ),
        ]


class Checkpoint(models.Model):
    """A student. Number 0 is the base before any training."""

    experiment = models.ForeignKey("Experiment", models.CASCADE, related_name="checkpoints")
    iteration = models.OneToOneField("Iteration", models.CASCADE, null=True, related_name="checkpoint")
    number = models.PositiveIntegerField()
    path = models.CharField(max_length=500, blank=True)  # below the artifacts folder; empty for the base
    sha256 = models.CharField(max_length=64, blank=True)
    base = models.CharField(max_length=500)
    training = models.JSONField(default=dict)
    metrics = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "number"], name="checkpoint_number_is_unique")]

    def __str__(self) -> str:
        return "base" if self.number == 0 else f"checkpoint {self.number}"

    @property
    def author(self) -> str:
        return f"checkpoint:{self.pk}"


class Candidate(models.Model):
    """One reply of the generator and what became of it, stored before it is judged: it was paid for."""

    iteration = models.ForeignKey("Iteration", models.CASCADE, related_name="candidates")
    key = models.CharField(max_length=40)
    difficulty = models.CharField(max_length=4, choices=[(d.value, d.value) for d in Difficulty])
    parent = models.ForeignKey("Instruction", models.PROTECT, related_name="+")
    raw = models.TextField()
    round = models.PositiveIntegerField()
    finish = models.CharField(max_length=16, blank=True)  # empty: the call failed for good
    judged = models.BooleanField(default=False)
    rejected = models.CharField(max_length=40, blank=True)  # reason; empty once judged: accepted
    rouge_l = models.FloatField(null=True)
    nearest = models.TextField(blank=True)
    instruction = models.ForeignKey("Instruction", models.PROTECT, null=True, related_name="candidates")
    neighbours = models.JSONField(
        null=True
    )  # {instruction id: [{id, pool, score}, ...]}, also for what it was edited to
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["iteration", "key"], name="candidate_paid_once")]
