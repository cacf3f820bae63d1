"""Which instructions the browser looks at: all, those of an imported pool, or those of an experiment's pools."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.core.cache import cache
from django.db import connection
from django.db.models import Exists, OuterRef

from lionweb.models import Checkpoint, Classification, Experiment, Iteration, Pool, User

MOST_CHOICES = 200
_CHOICES_KEPT_SECONDS = 20


@dataclass(frozen=True)
class Scope:
    """`checkpoint` is the student of the iteration; without one there are no verdicts to show."""

    pool: Pool | None = None
    experiment: Experiment | None = None
    iteration: Iteration | None = None
    checkpoint: Checkpoint | None = None
    iterations: tuple[Iteration, ...] = ()


@dataclass(frozen=True)
class Choices:
    """What the filters offer."""

    pools: tuple[tuple[int, str], ...]
    experiments: tuple[tuple[int, str], ...]
    reviewers: tuple[tuple[int, str], ...]
    categories: tuple[str, ...]
    languages: tuple[str, ...]


def scope_of(*, pool: int | None, experiment: int | None, iteration: int | None) -> Scope:
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
    return Scope(chosen, found, current, getattr(current, "checkpoint", None), iterations)


def _iteration(iterations: Sequence[Iteration], number: int | None) -> Iteration | None:
    if number is None:
        judged = [one for one in iterations if getattr(one, "judged", False)]
        return next(reversed(judged or list(iterations)), None)
    wanted = next((one for one in iterations if one.number == number), None)
    if wanted is None:
        raise Iteration.DoesNotExist
    return wanted


def choices() -> Choices:
    """Kept for some seconds by each process: what the filters offer may lag behind so long."""
    kept: Choices | None = cache.get("browser-choices")
    if kept is None:
        kept = _choices()
        cache.set("browser-choices", kept, _CHOICES_KEPT_SECONDS)
    return kept


def _choices() -> Choices:
    return Choices(
        pools=tuple(Pool.objects.order_by("name").values_list("pk", "name")[:MOST_CHOICES]),
        experiments=tuple(Experiment.objects.order_by("-pk").values_list("pk", "name")[:MOST_CHOICES]),
        reviewers=tuple(
            User.objects.filter(is_active=True).order_by("username").values_list("pk", "username")[:MOST_CHOICES]
        ),
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
