from django.db import models
from django.db.models.functions import Left, Length

TEXT_KEY = 32
"""Characters by which instructions are put in alphabetical order."""


class Instruction(models.Model):
    """One instruction of the installation. Never edited: an edited one is a new row with the old as its parent.

    Category and language are labels and may be set in place.
    """

    text = models.TextField()
    input = models.TextField(blank=True, default="")
    language = models.CharField(max_length=16, blank=True, default="")
    category = models.CharField(max_length=100, blank=True, default="")
    content_hash = models.CharField(max_length=64)
    length = models.GeneratedField(
        expression=Length("text") + Length("input"), output_field=models.IntegerField(), db_persist=True
    )
    edited_from = models.ForeignKey("self", models.PROTECT, null=True, related_name="edits", db_index=False)
    edited_by = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+", db_index=False)
    deleted_at = models.DateTimeField(null=True)  # soft: hidden from lists, drawn into no further pool
    deleted_by = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+", db_index=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        # Not unique=True on the field: that makes a second index, for LIKE.
        constraints = [models.UniqueConstraint(fields=["content_hash"], name="instruction_stored_once")]
        indexes = [
            models.Index(Left("text", TEXT_KEY), "id", name="instruction_text"),
            models.Index(fields=["-id"], name="instruction_deleted", condition=models.Q(deleted_at__isnull=False)),
            *(
                models.Index(
                    fields=[field], name=f"instruction_{field}", condition=models.Q(**{f"{field}__isnull": False})
                )
                for field in ("edited_from", "edited_by", "deleted_by")
            ),
            models.Index(fields=["category", "id"], name="instruction_category"),
            models.Index(fields=["language", "id"], name="instruction_language"),
            models.Index(fields=["length", "id"], name="instruction_length"),
        ]

    def __str__(self) -> str:
        return self.text[:80]


class PoolKind(models.TextChoices):
    SEED = "seed", "Instruction pool"
    HELDOUT = "heldout", "Held-out set"


class Pool(models.Model):
    """An imported file of instructions, from which experiments take their first pools or their held-out set."""

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=8, choices=PoolKind.choices, default=PoolKind.SEED)
    filename = models.CharField(max_length=255, blank=True)
    rows = models.PositiveIntegerField(default=0)
    problems = models.JSONField(default=list, blank=True)  # [{line, message}], at most the first 200
    problem_count = models.PositiveIntegerField(default=0)
    leak_count = models.PositiveIntegerField(
        null=True
    )  # instructions that overlap with an evaluation set; null: unknown
    created_by = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(kind__in=PoolKind.values), name="pool_kind_is_known")]

    def __str__(self) -> str:
        return self.name


class PoolEntry(models.Model):
    pool = models.ForeignKey(
        Pool, models.CASCADE, related_name="entries", db_index=False
    )  # its unique keys begin with it
    instruction = models.ForeignKey(Instruction, models.PROTECT, related_name="entries")
    position = models.PositiveIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pool", "instruction"], name="pool_holds_an_instruction_once"),
            models.UniqueConstraint(fields=["pool", "position"], name="pool_position_is_unique"),
        ]
