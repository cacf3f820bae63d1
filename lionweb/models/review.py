"""What people think of judged instructions: one row an opinion, and who holds an item just now."""

from django.db import models


class DecisionKind(models.TextChoices):
    HARD = "hard", "Hard"
    EASY = "easy", "Easy"
    TEACHER_WRONG = "teacher_wrong", "Teacher is wrong"
    BAD_INSTRUCTION = "bad_instruction", "Bad instruction"
    DUPLICATE = "duplicate", "Duplicate"
    UNSAFE = "unsafe", "Unsafe"
    FLAG = "flag", "Flagged for a second opinion"
    SKIP = "skip", "Skipped"


OPINIONS = frozenset(DecisionKind.values) - {DecisionKind.FLAG, DecisionKind.SKIP}
"""Kinds that decide an item. A flag asks for one more person, a skip says nothing."""
EXCLUDING = frozenset({DecisionKind.BAD_INSTRUCTION, DecisionKind.DUPLICATE, DecisionKind.UNSAFE})
"""Kinds after which the instruction is no seed, and in no pool of a later iteration."""


class ReviewState(models.TextChoices):
    """Where an item of the review queue stands. Locked is no state: a ReviewLock that has not expired."""

    NONE = "", "Not in the queue"
    PENDING = "pending", "Pending"
    CONFIRMED = "confirmed", "Confirmed"
    OVERRIDDEN = "overridden", "Overridden"
    FLAGGED = "flagged", "Flagged"
    CONFLICT = "conflict", "Conflict"
    SKIPPED = "skipped", "Skipped"
    CLOSED = "closed", "Closed"


OPEN_STATES = (ReviewState.PENDING, ReviewState.FLAGGED, ReviewState.SKIPPED)
"""States in which an item still waits for an opinion; a conflict waits for a resolver."""
UNSETTLED = (*OPEN_STATES, ReviewState.CONFLICT)
"""States in which nothing is decided yet."""


class DecisionBatch(models.Model):
    """One person's decision on many items at once, which can be taken back at once."""

    iteration = models.ForeignKey("Iteration", models.CASCADE, related_name="+")
    person = models.ForeignKey("User", models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=DecisionKind.choices)
    created_at = models.DateTimeField(auto_now_add=True)


class Decision(models.Model):
    """One person's decision on one item. Never rewritten: taking it back sets `undone_at`."""

    classification = models.ForeignKey("Classification", models.CASCADE, related_name="decisions")
    person = models.ForeignKey("User", models.PROTECT, related_name="decisions")
    kind = models.CharField(max_length=16, choices=DecisionKind.choices)
    comment = models.TextField(blank=True)
    corrected_response = models.ForeignKey("Response", models.PROTECT, null=True, related_name="+")
    is_resolution = models.BooleanField(default=False)  # ends a conflict, and counts alone
    batch = models.ForeignKey(DecisionBatch, models.SET_NULL, null=True, related_name="decisions", db_index=False)
    seconds = models.FloatField(null=True)  # between opening the item and deciding
    created_at = models.DateTimeField(auto_now_add=True)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["classification", "person", "is_resolution"],
                condition=models.Q(undone_at__isnull=True),
                name="one_live_decision_a_person",
            ),
            models.CheckConstraint(condition=models.Q(kind__in=DecisionKind.values), name="decision_kind_is_known"),
        ]
        indexes = [
            models.Index(fields=["person", "-id"], name="decision_of_person"),
            models.Index(fields=["person", "created_at"], name="decision_by_day"),
            models.Index(fields=["batch"], name="decision_of_batch", condition=models.Q(batch__isnull=False)),
        ]


class ReviewLock(models.Model):
    """A person has an item open. Expired locks count as none; they are deleted when the item is next given out."""

    classification = models.ForeignKey("Classification", models.CASCADE, related_name="locks")
    person = models.ForeignKey("User", models.CASCADE, related_name="+")
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["classification", "person"], name="locked_once_a_person")]
        indexes = [models.Index(fields=["person"], name="lock_of_person")]
