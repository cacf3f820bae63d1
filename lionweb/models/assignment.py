from django.db import models


class Assignment(models.Model):
    """A person was asked to review an experiment. Where nobody is assigned, every annotator may."""

    experiment = models.ForeignKey("Experiment", models.CASCADE, related_name="assignments")
    user = models.ForeignKey("User", models.CASCADE, related_name="assignments")
    assigned_by = models.ForeignKey("User", models.SET_NULL, null=True, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["experiment", "user"], name="assigned_once")]
