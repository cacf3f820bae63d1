"""What the pool browser keeps: saved views, changes of many instructions at once, and the words that are known."""

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models


class SavedView(models.Model):
    """A search with its filters, columns and order, as the query of the browser's URL."""

    owner = models.ForeignKey("User", models.CASCADE, related_name="saved_views")
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2000, blank=True)
    shared = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="view_name_is_the_owners_once")]

    def __str__(self) -> str:
        return self.name


class BulkAction(models.TextChoices):
    CATEGORY = "category", "Set the category"
    LANGUAGE = "language", "Set the language"
    DELETE = "delete", "Delete"
    RESTORE = "restore", "Restore"
    POOL = "pool", "Add to a pool"


class BulkStatus(models.TextChoices):
    PENDING = "pending", "queued"
    RUNNING = "running", "running"
    SUCCEEDED = "succeeded", "done"
    CANCELLED = "cancelled", "cancelled"
    FAILED = "failed", "failed"
    UNDOING = "undoing", "being undone"
    UNDONE = "undone", "undone"


BULK_TRANSITIONS: dict[str, frozenset[str]] = {
    BulkStatus.PENDING: frozenset({BulkStatus.RUNNING, BulkStatus.CANCELLED, BulkStatus.FAILED}),
    BulkStatus.RUNNING: frozenset({BulkStatus.SUCCEEDED, BulkStatus.CANCELLED, BulkStatus.FAILED}),
    BulkStatus.SUCCEEDED: frozenset({BulkStatus.UNDOING}),
    BulkStatus.CANCELLED: frozenset({BulkStatus.UNDOING}),
    BulkStatus.FAILED: frozenset({BulkStatus.UNDOING}),
    BulkStatus.UNDOING: frozenset({BulkStatus.UNDONE, BulkStatus.FAILED}),
    BulkStatus.UNDONE: frozenset(),
}
BULK_OPEN = (BulkStatus.PENDING, BulkStatus.RUNNING, BulkStatus.UNDOING)
"""A worker has something to do."""


class BulkJob(models.Model):
    """One change of many instructions. Which ones is settled when it begins, by its items."""

    actor = models.ForeignKey("User", models.PROTECT, related_name="bulk_jobs")
    action = models.CharField(max_length=8, choices=BulkAction.choices)
    value = models.CharField(max_length=100, blank=True)  # category or language
    pool = models.ForeignKey("Pool", models.SET_NULL, null=True, related_name="bulk_jobs")
    pool_is_new = models.BooleanField(default=False)
    query = models.TextField(blank=True)  # of the browser's URL, where all that match are meant
    status = models.CharField(max_length=9, choices=BulkStatus.choices, default=BulkStatus.PENDING)
    chosen = models.BooleanField(default=False)  # the items stand
    total = models.PositiveIntegerField(default=0)
    done = models.PositiveIntegerField(default=0)
    kept = models.PositiveIntegerField(default=0)  # undoing left these alone: they were changed again since
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(action__in=BulkAction.values), name="bulk_action_is_known"),
            models.CheckConstraint(condition=models.Q(status__in=BulkStatus.values), name="bulk_status_is_known"),
        ]
        indexes = [
            models.Index(fields=["actor", "-id"], name="bulk_of_person"),
            models.Index(fields=["id"], name="bulk_open", condition=models.Q(status__in=BULK_OPEN)),
        ]


class ItemState(models.TextChoices):
    OPEN = "open", "Open"
    SAME = "same", "Nothing to change"
    CHANGED = "changed", "Changed"
    UNDONE = "undone", "Undone"
    KEPT = "kept", "Changed again since"


class BulkItem(models.Model):
    """One instruction of a bulk job, and what was there before."""

    job = models.ForeignKey(BulkJob, models.CASCADE, related_name="items", db_index=False)
    instruction = models.ForeignKey("Instruction", models.CASCADE, related_name="bulk_items")
    state = models.CharField(max_length=7, choices=ItemState.choices, default=ItemState.OPEN)
    before = models.JSONField(null=True)
    at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["job", "instruction"], name="bulk_item_once"),
            models.CheckConstraint(condition=models.Q(state__in=ItemState.values), name="bulk_item_state_is_known"),
        ]
        indexes = [models.Index(fields=["job", "state", "id"], name="bulk_items_by_state")]


class Word(models.Model):
    """A word that stands in some instruction, for the search of parts of words and of misspelt ones."""

    word = models.CharField(max_length=100, primary_key=True)

    class Meta:
        indexes = [GinIndex(fields=["word"], opclasses=["gin_trgm_ops"], name="word_trigrams")]


class InstructionWords(models.Model):
    """What the search looks in. A trigger writes it for every new instruction but those of an import, see NewWords."""

    instruction = models.OneToOneField("Instruction", models.CASCADE, primary_key=True, related_name="searched")
    words = SearchVectorField()

    class Meta:
        indexes = [GinIndex(fields=["words"], name="instruction_words")]


class NewWords(models.Model):
    """Instructions, by the first and the last id, whose words are still to be read in the background."""

    first = models.BigIntegerField()
    last = models.BigIntegerField()
