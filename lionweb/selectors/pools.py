"""What the pages of imported pools show."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from lionweb.models import Experiment, Pool, PoolEntry

SHAPES_KEPT_SECONDS = 300


@dataclass(frozen=True)
class Share:
    name: str
    count: int


@dataclass(frozen=True)
class Shape:
    """How a pool divides into categories and languages, largest first; "" where the file says nothing."""

    categories: tuple[Share, ...]
    languages: tuple[Share, ...]

    @property
    def named_categories(self) -> list[Share]:
        return [share for share in self.categories if share.name]

    @property
    def named_languages(self) -> list[Share]:
        return [share for share in self.languages if share.name]


@dataclass(frozen=True)
class PoolRow:
    pool: Pool
    shape: Shape
    experiments: int


@dataclass(frozen=True)
class PoolPage:
    row: PoolRow
    remarks: tuple[str, ...]
    problems: tuple[dict[str, Any], ...]
    experiments: tuple[Experiment, ...]


def pool_rows() -> list[PoolRow]:
    """All pools, the newest first."""
    pools = list(_pools().order_by("-pk"))
    shapes = _shapes(pools)
    return [PoolRow(pool, shapes[pool.pk], pool.used_by) for pool in pools]


def pool_page(pk: int) -> PoolPage:
    """Raises Pool.DoesNotExist."""
    pool = _pools().select_related("created_by").get(pk=pk)
    experiments = Experiment.objects.filter(pool=pool) | Experiment.objects.filter(heldout_pool=pool)
    return PoolPage(
        row=PoolRow(pool, _shapes([pool])[pool.pk], pool.used_by),
        remarks=tuple(one["message"] for one in pool.problems if one.get("kind") == "remark"),
        problems=tuple(one for one in pool.problems if one.get("kind") != "remark"),
        experiments=tuple(experiments.order_by("-pk")[:20]),
    )


def _pools() -> Any:
    def used_as(field: str) -> Coalesce:
        uses = Experiment.objects.filter(**{field: OuterRef("pk")}).order_by().values(field)
        return Coalesce(Subquery(uses.annotate(n=Count("pk")).values("n")), 0)

    return Pool.objects.annotate(used_by=used_as("pool") + used_as("heldout_pool"))


def _shapes(pools: Sequence[Pool]) -> dict[int, Shape]:
    """Each process counts a pool once, and again when it has grown or some minutes have passed: labels may be changed."""
    keys = {f"pool-shape-{pool.pk}-{pool.created_at.timestamp()}-{pool.rows}": pool.pk for pool in pools}
    found = cache.get_many(keys)
    missing = {key: pk for key, pk in keys.items() if key not in found}
    counted = _count(list(missing.values()))
    fresh = {key: counted[pk] for key, pk in missing.items()}
    cache.set_many(fresh, timeout=SHAPES_KEPT_SECONDS)
    return {pk: (found | fresh)[key] for key, pk in keys.items()}


def _count(ids: list[int]) -> dict[int, Shape]:
    if not ids:
        return {}
    categories: dict[int, Counter[str]] = {pk: Counter() for pk in ids}
    languages: dict[int, Counter[str]] = {pk: Counter() for pk in ids}
    rows = PoolEntry.objects.filter(pool__in=ids).order_by()
    counts = rows.values_list("pool", "instruction__category", "instruction__language").annotate(n=Count("pk"))
    for pk, category, language, count in counts:
        categories[pk][category] += count
        languages[pk][language] += count
    return {pk: Shape(_shares(categories[pk]), _shares(languages[pk])) for pk in ids}


def _shares(counts: Counter[str]) -> tuple[Share, ...]:
    return tuple(Share(name, count) for name, count in counts.most_common())
