"""What was paid and what was done: append-only."""

from django.db import models

from distill.records import Purpose


class ModelCall(models.Model):
    """One request that was sent to an endpoint."""

    endpoint = models.ForeignKey("Endpoint", models.PROTECT, related_name="calls")
    experiment = models.ForeignKey("Experiment", models.CASCADE, null=True, related_name="calls")
    stage = models.ForeignKey("Stage", models.CASCADE, null=True, related_name="calls")
    purpose = models.CharField(max_length=8, choices=[(p.value, p.value) for p in Purpose])
    outcome = models.CharField(max_length=20)
    paid = models.BooleanField()
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    cost_usd = models.FloatField(default=0)
    latency_seconds = models.FloatField(default=0)
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [
            models.Index(fields=["stage", "at"], name="call_of_stage"),
            models.Index(fields=["experiment", "at"], name="call_of_experiment"),
        ]


class AuditEvent(models.Model):
    """One write by a person or by the system."""

    at = models.DateTimeField(auto_now_add=True)
    actor = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+", db_index=False)
    action = models.CharField(max_length=60)
    target_type = models.CharField(max_length=40)
    target_id = models.CharField(max_length=40)
    # Where it is known; without an index of its own, as the one below begins with it.
    experiment = models.ForeignKey("Experiment", models.SET_NULL, null=True, related_name="+", db_index=False)
    detail = models.JSONField(default=dict)

    class Meta:
        indexes = [
            models.Index(fields=["target_type", "target_id", "id"], name="audit_of_target"),
            models.Index(fields=["at", "id"], name="audit_by_time"),
            models.Index(fields=["actor", "at", "id"], name="audit_of_actor"),
            models.Index(fields=["action", "at", "id"], name="audit_of_action"),
            models.Index(fields=["experiment", "at", "id"], name="audit_of_experiment"),
        ]
