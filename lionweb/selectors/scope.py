"""Which instructions the browser looks at: all, those of an imported pool, or those of an experiment's pools."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import connection
from django.db.models import Exists, F, FilteredRelation, OuterRef, Q, QuerySet

from lionweb.models import (
    Approval,
    Checkpoint,
    Classification,
    Experiment,
    Instruction,
    Iteration,
    MemberPool,
    Membership,
    Pool,
)

MOST_CHOICES = 200


@dataclass(frozen=True)
class Scope:
    """`checkpoint` is the student of the iteration; without one there are no verdicts to show."""

    pool: Pool | None = None
    experiment: Experiment | None = None
    iteration: Iteration | None = None
    checkpoint: Checkpoint | None = None
    member: str = ""
    iterations: tuple[Iteration, ...] = ()


@dataclass(frozen=True)
class Choices:
    """What the filters offer."""

    pools: tuple[Pool, ...]
    experiments: tuple[Experiment, ...]
    categories: tuple[str, ...]
    languages: tuple[str, ...]


def scope_of(*, pool: int | None, experiment: int | None, iteration: int | None, member: str) -> Scope:
    """The rows behind the numbers; without an iteration the last one that was judged, else the last one.

    Raises Pool.DoesNotExist, Experiment.DoesNotExist or Iteration.DoesNotExist.
    """
    chosen = Pool.objects.defer("problems").get(pk=pool) if pool else None
    if not experiment:
        return Scope(pool=chosen)
    found = Experiment.objects.get(pk=experiment)
    judged = Classification.objects.filter(iteration=OuterRef("pk"))
    iterations = tuple(found.iterations.select_related("checkpoint").annotate(judged=Exists(judged)))
    current = _iteration(iterations, iteration)
    return Scope(chosen, found, current, getattr(current, "checkpoint", None), member, iterations)


def _iteration(iterations: Sequence[Iteration], number: int | None) -> Iteration | None:
    if number is None:
        judged = [one for one in iterations if getattr(one, "judged", False)]
        return next(reversed(judged or list(iterations)), None)
    wanted = next((one for one in iterations if one.number == number), None)
    if wanted is None:
        raise Iteration.DoesNotExist
    return wanted


def members(found: QuerySet[Instruction], scope: Scope, *, source: str) -> QuerySet[Instruction]:
    """The instructions of the scope, with their `position` in the imported pool, and their classification as the relation `seen`.

    A relation is joined anew for each filter that names it: name what is needed of it by an annotation.
    """
    if scope.pool:
        place = FilteredRelation("entries", condition=Q(entries__pool=scope.pool))
        found = found.annotate(place=place).annotate(position=F("place__position")).filter(position__isnull=False)
    if not scope.experiment:
        return found
    found = found.filter(Exists(_memberships(scope, source).filter(instruction=OuterRef("pk"))))
    condition = Q(classifications__iteration=scope.iteration, classifications__checkpoint=scope.checkpoint)
    return found.annotate(seen=FilteredRelation("classifications", condition=condition)) if scope.checkpoint else found


def _memberships(scope: Scope, source: str = "") -> QuerySet[Membership]:
    rows = Membership.objects.filter(experiment=scope.experiment, approval=Approval.APPROVED)
    number = scope.iteration.number if scope.iteration else 1
    if scope.member:
        rows = rows.filter(pool=scope.member)
    if scope.member == MemberPool.TRAIN:
        rows = rows.filter(since=number)
    elif scope.member == MemberPool.CACHE:
        rows = rows.filter(since__lte=number)
    return rows.filter(source=source) if source else rows


def sources_of(scope: Scope, ids: Sequence[int]) -> dict[int, str]:
    if not scope.experiment:
        return {}
    rows = _memberships(scope).filter(instruction__in=ids).order_by("-since")
    return dict(rows.values_list("instruction", "source"))


def choices() -> Choices:
    return Choices(
        pools=tuple(Pool.objects.only("name").order_by("name")[:MOST_CHOICES]),
        experiments=tuple(Experiment.objects.only("name").order_by("-pk")[:MOST_CHOICES]),
        categories=_names("category"),
        languages=_names("language"),
    )


def _names(column: str) -> tuple[str, ...]:
    """The different values of an indexed column, leaping from each to the next: a DISTINCT would read every row."""
    following = f"SELECT {column} FROM lionweb_instruction WHERE {column} > {{}} ORDER BY {column} LIMIT 1"
    query = f"""
        WITH RECURSIVE names(name) AS (
            ({following.format("''")}) UNION ALL SELECT ({following.format("names.name")}) FROM names WHERE name IS NOT NULL
        ) SELECT name FROM names WHERE name IS NOT NULL LIMIT {MOST_CHOICES}
    """
    with connection.cursor() as cursor:
        cursor.execute(query)
        return tuple(row[0] for row in cursor.fetchall())
