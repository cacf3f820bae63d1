from typing import Any

from django.db.models import Model

from lionweb.models import AuditEvent, User


def record(*, actor: User | None, action: str, target: Model, **detail: Any) -> None:
    """Append one event. Call it inside the transaction of the write that it tells of. actor None: the system."""
    AuditEvent.objects.create(
        actor=actor, action=action, target_type=str(target._meta.model_name), target_id=str(target.pk), detail=detail
    )
