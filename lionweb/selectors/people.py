"""What the pages of people, assignments and one's own work show."""

from dataclasses import dataclass

from django.db.models import Count, F, Max, Q

from lionweb.models import (
    OPEN_STATES,
    OPINIONS,
    Approval,
    Assignment,
    Classification,
    Decision,
    Experiment,
    Iteration,
    MemberPool,
    Membership,
    ReviewState,
    Role,
    Stage,
    StageKind,
    StageStatus,
    User,
)
from lionweb.services.assignments import counting
from lionweb.services.people import ADMINS

MOST_WAITING = 200


@dataclass(frozen=True)
class PersonRow:
    person: User
    decisions: int
    assigned: int
    is_last_admin: bool


def people_rows() -> list[PersonRow]:
    """Active ones first, by name."""
    live = Decision.objects.filter(undone_at=None, kind__in=OPINIONS)
    decisions = dict(live.order_by().values_list("person").annotate(n=Count("pk")))
    assigned = dict(Assignment.objects.order_by().values_list("user").annotate(n=Count("pk")))
    admins = set(User.objects.filter(ADMINS).values_list("pk", flat=True))
    people = User.objects.order_by("-is_active", "username")
    return [PersonRow(one, decisions.get(one.pk, 0), assigned.get(one.pk, 0), admins == {one.pk}) for one in people]


@dataclass(frozen=True)
class AssignedRow:
    assignment: Assignment
    opinions: int
    last_at: object


@dataclass(frozen=True)
class AssignmentPage:
    experiment: Experiment
    rows: tuple[AssignedRow, ...]
    is_open: bool  # to every annotator
    others: tuple[User, ...]  # who could be assigned


def assignment_page(pk: int) -> AssignmentPage:
    """Raises Experiment.DoesNotExist."""
    experiment = Experiment.objects.get(pk=pk)
    rows = list(experiment.assignments.select_related("user", "assigned_by").order_by("user__username"))
    opinions = Decision.objects.filter(
        classification__iteration__experiment=experiment,
        person__in=[one.user_id for one in rows],
        undone_at=None,
        kind__in=OPINIONS,
    )
    counted = opinions.order_by().values_list("person").annotate(n=Count("pk"), last=Max("created_at"))
    done = {person: (n, last) for person, n, last in counted}
    reviewers = [role for role in Role.values if role != Role.VIEWER]
    others = User.objects.filter(is_active=True, role__in=reviewers).exclude(pk__in=[one.user_id for one in rows])
    return AssignmentPage(
        experiment,
        tuple(AssignedRow(one, *done.get(one.user_id, (0, None))) for one in rows),
        not any(one.user.may(Role.ANNOTATOR) for one in rows),
        tuple(others.order_by("username")),
    )


@dataclass(frozen=True)
class Waiting:
    """What an iteration at a gate wants of one person."""

    iteration: Iteration
    kind: str
    mine: int  # open items on which this person has neither decided nor skipped
    open: int
    conflicts: int  # for those who may resolve them
    done_by_me: int
    is_assigned: bool


def waiting_for(person: User) -> list[Waiting]:
    """Across experiments, what the person was assigned to first, then the oldest."""
    stages = Stage.objects.filter(status=StageStatus.WAITING, kind__in=(StageKind.REVIEW, StageKind.APPROVE))
    found = list(stages.select_related("iteration__experiment").order_by("started_at", "pk")[:MOST_WAITING])
    assigned, elsewhere = _assignments(person, [one.iteration.experiment_id for one in found])
    shown = [one for one in found if person.may(Role.RESEARCHER) or one.iteration.experiment_id not in elsewhere]
    reviews = _reviews(person, [one.iteration_id for one in shown if one.kind == StageKind.REVIEW])
    approvals = _approvals([one for one in shown if one.kind == StageKind.APPROVE])
    counts = {**reviews, **approvals}
    rows = [
        Waiting(one.iteration, one.kind, *counts[one.kind, one.iteration_id], one.iteration.experiment_id in assigned)
        for one in shown
    ]
    wanted = [one for one in rows if one.mine or one.open or (one.conflicts and person.may(Role.RESEARCHER))]
    return sorted(wanted, key=lambda one: not one.is_assigned)


def _assignments(person: User, experiments: list[int]) -> tuple[set[int], set[int]]:
    """Experiments to which this person is assigned, and those to which only others are."""
    pairs = list(counting().filter(experiment__in=experiments).values_list("experiment_id", "user_id"))
    mine = {experiment for experiment, user in pairs if user == person.pk}
    return mine, {experiment for experiment, _ in pairs} - mine


Counts = dict[tuple[str, int], tuple[int, int, int, int]]
"""By gate and iteration: open to this person, open, conflicts, done by this person."""


def _reviews(person: User, iterations: list[int]) -> Counts:
    """Nobody can decide on an instruction that was deleted, so its items wait for nobody."""
    wanted = Classification.objects.filter(iteration__in=iterations, for_review=True, instruction__deleted_at=None)
    rows = wanted.order_by().values("iteration")
    is_open = Q(review_state__in=OPEN_STATES)
    counted = {
        row["iteration"]: row
        for row in rows.annotate(
            open=Count("pk", filter=is_open), conflicts=Count("pk", filter=Q(review_state=ReviewState.CONFLICT))
        )
    }
    own = Decision.objects.filter(person=person, undone_at=None, classification__iteration__in=iterations)
    still_open = Q(classification__review_state__in=OPEN_STATES, classification__instruction__deleted_at=None)
    said_by_me = own.order_by().values(iteration=F("classification__iteration"))
    mine = {
        row["iteration"]: row
        for row in said_by_me.annotate(
            done=Count("pk", filter=Q(kind__in=OPINIONS)), still_open=Count("pk", filter=still_open)
        )
    }
    found: Counts = {}
    for pk in iterations:
        row, said = counted.get(pk, {"open": 0, "conflicts": 0}), mine.get(pk, {"done": 0, "still_open": 0})
        left = max(0, row["open"] - said["still_open"])
        found[StageKind.REVIEW, pk] = (left, row["open"], row["conflicts"], said["done"])
    return found


def _approvals(stages: list[Stage]) -> Counts:
    found: Counts = {}
    for stage in stages:
        pending = Membership.objects.filter(
            experiment=stage.iteration.experiment_id,
            since=stage.iteration.number + 1,
            pool=MemberPool.CACHE,
            approval=Approval.PENDING,
        ).count()
        found[StageKind.APPROVE, stage.iteration_id] = (pending, pending, 0, 0)
    return found
