from django.db import models


class StageKind(models.TextChoices):
    ANSWER = "answer", "Answer"
    TRAIN = "train", "Train"
    COMPARE = "compare", "Compare"
    JUDGE = "judge", "Judge"
    REVIEW = "review", "Review"
    GENERATE = "generate", "Generate"
    APPROVE = "approve", "Approve"


GATES = (StageKind.REVIEW, StageKind.APPROVE)


class StageStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"
    PAUSED = "paused", "Paused"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


class PauseReason(models.TextChoices):
    PERSON = "", "A person paused it"
    BUDGET = "budget", "The budget is spent"


S = StageStatus
ALLOWED_TRANSITIONS: dict[str, frozenset[str]] = {
    S.PENDING: frozenset({S.RUNNING, S.WAITING, S.PAUSED, S.SUCCEEDED, S.FAILED, S.CANCELLED}),
    S.RUNNING: frozenset({S.SUCCEEDED, S.FAILED, S.PAUSED, S.CANCELLED}),
    S.WAITING: frozenset({S.SUCCEEDED, S.PAUSED, S.CANCELLED}),
    S.PAUSED: frozenset({S.PENDING, S.CANCELLED}),
    S.FAILED: frozenset({S.PENDING, S.CANCELLED}),
    S.SUCCEEDED: frozenset(),
    S.CANCELLED: frozenset({S.PENDING}),
}
"""From each status the ones that may follow: the diagram of the docs. Waiting is for people, paused is by people or budget."""

ENDED = frozenset({S.SUCCEEDED, S.CANCELLED})


class Stage(models.Model):
    """One step of an iteration. The status decides; the phase only explains."""

    iteration = models.ForeignKey("Iteration", models.CASCADE, related_name="stages")
    kind = models.CharField(max_length=8, choices=StageKind.choices)
    position = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=9, choices=StageStatus.choices, default=StageStatus.PENDING)
    phase = models.CharField(max_length=200, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    failed_items = models.PositiveIntegerField(default=0)
    error = models.JSONField(null=True)  # {code, cause, advice}
    note = models.CharField(max_length=500, blank=True)
    paused_for = models.CharField(max_length=10, blank=True, default="", db_default="", choices=PauseReason.choices)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["iteration", "kind"], name="stage_kind_once_per_iteration"),
            models.UniqueConstraint(fields=["iteration", "position"], name="stage_position_is_unique"),
            models.CheckConstraint(condition=models.Q(kind__in=StageKind.values), name="stage_kind_is_known"),
            models.CheckConstraint(condition=models.Q(status__in=StageStatus.values), name="stage_status_is_known"),
        ]
        indexes = [
            models.Index(
                fields=["status"],
                name="stage_open",
                condition=models.Q(status__in=[S.PENDING, S.RUNNING, S.WAITING]),
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.iteration}"


class StageEvent(models.Model):
    """One change of status, or one line of the stage's log (then both statuses are empty)."""

    stage = models.ForeignKey(Stage, models.CASCADE, related_name="events")
    at = models.DateTimeField(auto_now_add=True)
    from_status = models.CharField(max_length=9, blank=True)
    to_status = models.CharField(max_length=9, blank=True)
    message = models.TextField(blank=True)
    actor = models.CharField(max_length=150, blank=True)

    class Meta:
        ordering = ["id"]
        indexes = [models.Index(fields=["stage", "id"], name="event_of_stage")]


class MetricPoint(models.Model):
    stage = models.ForeignKey(Stage, models.CASCADE, related_name="metrics")
    name = models.CharField(max_length=40)
    step = models.PositiveIntegerField()
    value = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stage", "name", "step"], name="metric_once_per_step")]
