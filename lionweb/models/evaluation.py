"""Evaluation sets that the installation knows, and which instructions overlap with them."""

from django.db import models

from distill.leaks import LeakKind


class EvaluationKind(models.TextChoices):
    OPEN = "open", "Open-ended"
    CHOICE = "choice", "Multiple choice"
    ANSWER = "answer", "Exact answer"


class EvaluationSet(models.Model):
    """An imported file of evaluation items. Never changed; an admin may remove it."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=8, choices=EvaluationKind.choices)
    filename = models.CharField(max_length=255, blank=True)
    items = models.PositiveIntegerField(default=0)
    created_by = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=EvaluationKind.values), name="evaluation_kind_is_known")
        ]

    def __str__(self) -> str:
        return self.name


class EvaluationItem(models.Model):
    """`text` is the whole question, a passage before it; `target` the right choice or exact answer."""

    set = models.ForeignKey(EvaluationSet, models.CASCADE, related_name="rows")
    position = models.PositiveIntegerField()
    key = models.CharField(max_length=100)
    text = models.TextField()
    answer = models.TextField(null=True)  # noqa: DJ001 - none is not an empty answer
    category = models.CharField(max_length=100, blank=True)
    choices = models.JSONField(default=list)
    target = models.TextField(blank=True)
    extra = models.JSONField(default=dict)  # passage, further turns, and what else the file says

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["set", "key"], name="evaluation_key_is_unique"),
            models.UniqueConstraint(fields=["set", "position"], name="evaluation_position_is_unique"),
        ]


class LeakHit(models.Model):
    """An instruction overlaps with an item. Found by comparing alone: people judge what it means."""

    instruction = models.ForeignKey("Instruction", models.CASCADE, related_name="leaks")
    item = models.ForeignKey(EvaluationItem, models.CASCADE, related_name="leaks")
    kind = models.CharField(max_length=8, choices=[(kind.value, kind.value) for kind in LeakKind])
    score = models.FloatField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["instruction", "item"], name="leak_once"),
            models.CheckConstraint(
                condition=models.Q(kind__in=[kind.value for kind in LeakKind]), name="leak_kind_is_known"
            ),
        ]


class LeakScan(models.Model):
    """A check in the background: a pool against all sets, or all instructions against a new set. Goes on where it stopped."""

    pool = models.ForeignKey("Pool", models.CASCADE, null=True, related_name="leak_scans")
    evaluation_set = models.ForeignKey(EvaluationSet, models.CASCADE, null=True, related_name="leak_scans")
    reached = models.BigIntegerField(default=0)  # the last instruction that was checked
    last = models.BigIntegerField(default=0)  # the last one there was when it was asked for
    claimed_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(pool__isnull=True) ^ models.Q(evaluation_set__isnull=True),
                name="leak_scan_of_a_pool_or_a_set",
            )
        ]
        indexes = [models.Index(fields=["id"], name="leak_scan_open", condition=models.Q(finished_at__isnull=True))]
