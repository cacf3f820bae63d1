"""What people did at the approval gate, so that each step can be taken back."""

from django.db import models


class RejectReason(models.TextChoices):
    """In the order of the digits that choose them, from 1."""

    OFF_TOPIC = "off_topic", "Off topic"
    UNANSWERABLE = "unanswerable", "Unanswerable"
    DUPLICATE = "duplicate", "Duplicate"
    UNSAFE = "unsafe", "Unsafe"
    LEAKED = "leaked", "Leaked from a benchmark"
    POOR_LANGUAGE = "poor_language", "Poor language"
    OTHER = "other", "Other"


class ApprovalKind(models.TextChoices):
    APPROVE = "approve", "Approved"
    REJECT = "reject", "Rejected"
    EDIT = "edit", "Edited"
    KEEP = "keep", "Kept although a filter had dropped it"


class ApprovalAction(models.Model):
    """One step of one person: on a candidate, or on all that matched a rule. Undone ones stay, with the time.

    A membership names the last action on it: an action can be undone for as long as nobody acted after it.
    """

    iteration = models.ForeignKey("Iteration", models.CASCADE, related_name="approval_actions")
    person = models.ForeignKey("User", models.PROTECT, related_name="+")
    kind = models.CharField(max_length=8, choices=ApprovalKind.choices)
    candidate = models.ForeignKey("Candidate", models.CASCADE, null=True, related_name="approval_actions")
    rule = models.JSONField(null=True)  # of a step on many
    before = models.JSONField(default=dict)  # what undoing restores
    count = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(kind__in=ApprovalKind.values), name="approval_kind_is_known")
        ]
        indexes = [
            models.Index(
                fields=["iteration", "person", "-id"],
                name="approval_to_undo",
                condition=models.Q(undone_at__isnull=True),
            )
        ]
