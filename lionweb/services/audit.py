from typing import Any

from django.db.models import Model

from lionweb.models import AuditEvent, Experiment, User

WAYS_TO_THE_EXPERIMENT = ("classification", "stage", "iteration")
"""Relations that lead from a target to the experiment it belongs to."""


def record(
    *, actor: User | None, action: str, target: Model, experiment: Experiment | None = None, **detail: Any
) -> None:
    """Append one event. Call it inside the transaction of the write that it tells of. actor None: the system.

    The experiment that it belongs to is found from the target, unless it is named.
    """
    AuditEvent.objects.create(
        actor=actor,
        action=action,
        target_type=str(target._meta.model_name),
        target_id=str(target.pk),
        experiment_id=experiment.pk if experiment else experiment_of(target),
        detail=detail,
    )


def experiment_of(target: Model) -> int | None:
    """None for what belongs to no experiment, such as an endpoint."""
    if isinstance(target, Experiment):
        return target.pk
    if hasattr(target, "experiment_id"):
        found: int | None = target.experiment_id
        return found
    for name in WAYS_TO_THE_EXPERIMENT:
        onward = getattr(target, name, None)
        if isinstance(onward, Model):
            return experiment_of(onward)
    return None
