"""Who works on what right now. These rows come and go; losing all of them loses no result."""

import uuid

from django.db import models


class Worker(models.Model):
    """A worker process, as it reports itself. Silent for longer than a lease: lost."""

    name = models.CharField(max_length=200, unique=True)
    queues = models.CharField(max_length=200)
    hostname = models.CharField(max_length=200)
    pid = models.PositiveIntegerField()
    doing = models.CharField(max_length=200, blank=True)
    started_at = models.DateTimeField()
    heartbeat_at = models.DateTimeField()


class Lease(models.Model):
    """A running chunk of a stage. Its claims are free again once its heartbeat is too old."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    stage = models.ForeignKey("Stage", models.CASCADE, related_name="leases")
    part = models.CharField(max_length=20)
    worker = models.CharField(max_length=200)
    # At most one lease with the same value: one training per stage, one compute-bound part per machine.
    exclusive = models.CharField(max_length=200, null=True, unique=True)  # noqa: DJ001
    endpoint = models.ForeignKey("Endpoint", models.CASCADE, null=True, related_name="leases")
    created_at = models.DateTimeField(auto_now_add=True)
    heartbeat_at = models.DateTimeField()


class Claim(models.Model):
    """One row of work, held by one lease. The key names the result it is for, so that it is paid for once anywhere."""

    key = models.CharField(max_length=300, primary_key=True)
    lease = models.ForeignKey(Lease, models.CASCADE, related_name="claims")


class ItemFailure(models.Model):
    """A row of work that failed for good after its retries, and how often; nothing is invented in its place."""

    stage = models.ForeignKey("Stage", models.CASCADE, related_name="failures")
    key = models.CharField(max_length=300)
    instruction = models.ForeignKey("Instruction", models.CASCADE, null=True, related_name="+")
    attempts = models.PositiveSmallIntegerField(default=1)
    message = models.TextField(blank=True)
    at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["stage", "key"], name="failure_once_per_item")]
