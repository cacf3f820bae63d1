from django.db import models

from distill.settings import ExperimentSettings
from lionweb.models.approval import RejectReason


class Experiment(models.Model):
    """One student distilled from one teacher: settings frozen when it is made, and its iterations."""

    name = models.CharField(max_length=100)
    owner = models.ForeignKey("User", models.PROTECT, related_name="experiments")
    endpoint = models.ForeignKey("Endpoint", models.PROTECT, related_name="experiments")
    pool = models.ForeignKey("Pool", models.PROTECT, related_name="experiments")
    heldout_pool = models.ForeignKey("Pool", models.PROTECT, null=True, blank=True, related_name="+")
    settings_json = models.JSONField()
    planned_iterations = models.PositiveIntegerField(default=0)  # launched so far, done or not
    cloned_from = models.ForeignKey("self", models.SET_NULL, null=True, related_name="clones")
    replay_of = models.ForeignKey("Iteration", models.SET_NULL, null=True, related_name="replays")
    second_endpoint = models.ForeignKey("Endpoint", models.PROTECT, null=True, blank=True, related_name="+")
    budget_usd = models.FloatField(null=True)  # paid calls stop here and the stage pauses; null: no limit
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name

    @property
    def settings(self) -> ExperimentSettings:
        return ExperimentSettings.from_json(self.settings_json)


class Iteration(models.Model):
    """Imitation, discrimination, generation, in that order."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="iterations")
    number = models.PositiveIntegerField()
    budget_usd = models.FloatField(null=True)
    applied_tau = models.FloatField(null=True)  # where a person moved the threshold after the referee was through
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "number"], name="iteration_number_is_unique"),
            models.CheckConstraint(condition=models.Q(number__gte=1), name="iterations_count_from_one"),
        ]

    def __str__(self) -> str:
        return f"iteration {self.number}"

    @property
    def tau(self) -> float:
        """The threshold by which the verdicts of this iteration stand."""
        return self.experiment.settings.referee.tau if self.applied_tau is None else self.applied_tau


class MemberPool(models.TextChoices):
    TRAIN = "train", "Train Pool"
    CACHE = "cache", "Cache Pool"
    HELDOUT = "heldout", "Held-out"


class MemberSource(models.TextChoices):
    SEED = "seed", "Seed"
    HARD = "hard", "Generated from hard"
    EASY = "easy", "Generated from easy"


class Approval(models.TextChoices):
    APPROVED = "approved", "Approved"
    PENDING = "pending", "Waiting for approval"
    REJECTED = "rejected", "Rejected"


class Membership(models.Model):
    """An instruction in a pool of an experiment, from iteration `since` on (Train Pool: in that iteration alone)."""

    experiment = models.ForeignKey(Experiment, models.CASCADE, related_name="memberships")
    since = models.PositiveIntegerField()
    until = models.PositiveIntegerField(null=True)  # the last iteration it belongs to, where a person took it out
    instruction = models.ForeignKey("Instruction", models.PROTECT, related_name="memberships")
    pool = models.CharField(max_length=8, choices=MemberPool.choices)
    source = models.CharField(max_length=8, choices=MemberSource.choices, default=MemberSource.SEED)
    parent = models.ForeignKey("Instruction", models.PROTECT, null=True, related_name="+")
    approval = models.CharField(max_length=8, choices=Approval.choices, default=Approval.APPROVED)
    decided_by = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+")
    decided_at = models.DateTimeField(null=True)
    candidate = models.ForeignKey("Candidate", models.SET_NULL, null=True, related_name="memberships")
    similarity = models.FloatField(null=True)  # ROUGE-L F with the nearest other instruction of the pools
    action = models.ForeignKey("ApprovalAction", models.SET_NULL, null=True, related_name="memberships")
    rejected_reason = models.CharField(
        max_length=16, blank=True, default="", db_default="", choices=RejectReason.choices
    )
    rejected_text = models.TextField(blank=True, default="", db_default="")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["experiment", "pool", "since", "instruction"], name="member_once"),
            models.CheckConstraint(condition=models.Q(pool__in=MemberPool.values), name="member_pool_is_known"),
            models.CheckConstraint(condition=models.Q(source__in=MemberSource.values), name="member_source_is_known"),
            models.CheckConstraint(condition=models.Q(approval__in=Approval.values), name="member_approval_is_known"),
            models.CheckConstraint(
                condition=models.Q(rejected_reason="") | models.Q(rejected_reason__in=RejectReason.values),
                name="member_rejected_reason_is_known",
            ),
        ]
        indexes = [models.Index(fields=["experiment", "instruction"], name="member_by_instruction")]
