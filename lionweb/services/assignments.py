"""Who reviews which experiment."""

from django.db import transaction
from django.db.models import Q, QuerySet

from lionweb.models import Assignment, Experiment, Role, User
from lionweb.services import audit
from lionweb.services.errors import Refused


def counting() -> QuerySet[Assignment]:
    """Those of active people who may review: others assigned would close an experiment that nobody of them can review."""
    able = Q(user__is_superuser=True) | ~Q(user__role=Role.VIEWER)
    return Assignment.objects.filter(able, user__is_active=True)


def may_review(user: User, experiment: Experiment | int) -> bool:
    """Researchers and admins always; annotators where nobody who may is assigned, or they are.

    The experiment may be given by its number.
    """
    if not user.may(Role.ANNOTATOR):
        return False
    if user.may(Role.RESEARCHER):
        return True
    assigned = set(counting().filter(experiment=experiment).values_list("user_id", flat=True))
    return not assigned or user.pk in assigned


def check_assigned(user: User, experiment: Experiment | int) -> None:
    """Raises Refused for those who may not review it."""
    if not may_review(user, experiment):
        raise Refused("Other people are assigned to review this experiment.", "Ask a researcher to assign you too.")


@transaction.atomic
def assign(*, experiment: Experiment, user: User, actor: User) -> None:
    """From the first assignment on, the experiment is closed to annotators who are not assigned.

    Raises:
        Refused: this person may not review at all.
    """
    if not user.may(Role.ANNOTATOR):
        raise Refused(f"{user.username} may not review.", "An administrator can make them an annotator.")
    _, made = Assignment.objects.get_or_create(experiment=experiment, user=user, defaults={"assigned_by": actor})
    if made:
        audit.record(actor=actor, action="assignment.add", target=experiment, user=user.username)


@transaction.atomic
def unassign(*, experiment: Experiment, user: User, actor: User) -> None:
    """With the last assignment gone, the experiment is open to every annotator again."""
    if Assignment.objects.filter(experiment=experiment, user=user).delete()[0]:
        audit.record(actor=actor, action="assignment.remove", target=experiment, user=user.username)
