"""Compares instructions with the evaluation items of the installation and keeps what overlaps."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from django.db.models import Exists, OuterRef

from distill.leaks import Leak, LeakIndex
from distill.records import Instruction as Text
from lionweb.models import EvaluationItem, EvaluationSet, Experiment, Instruction, LeakHit

BLOCK = "block"


def blocks(experiment: Experiment) -> bool:
    """Whether an instruction that overlaps with an evaluation set may be in no pool of the experiment."""
    return experiment.settings.generator.leak_policy == BLOCK


def is_leaked(column: str = "instruction") -> Exists:
    """A condition on rows that name an instruction in `column`."""
    return Exists(LeakHit.objects.filter(instruction=OuterRef(column)))


def find(texts: Sequence[str]) -> list[list[Leak]]:
    """What each text overlaps with, without keeping it. `Leak.item` is the primary key of the item."""
    known = _known(_version())
    return known.check_many(texts) if known else [[] for _ in texts]


def check(*, instructions: Iterable[Instruction], only: EvaluationSet | None = None) -> dict[int, list[LeakHit]]:
    """Keep the overlaps of instructions, with all sets or with one; those kept before stay. Doing it twice changes nothing."""
    rows = list(instructions)
    known = _known((only.pk,)) if only else _known(_version())
    if not rows or known is None:
        return {}
    found = known.check_many([Text(row.text, row.input).prompt for row in rows])
    hits = {
        row.pk: [LeakHit(instruction_id=row.pk, item_id=leak.item, kind=leak.kind, score=leak.score) for leak in leaks]
        for row, leaks in zip(rows, found, strict=True)
        if leaks
    }
    LeakHit.objects.bulk_create([one for many in hits.values() for one in many], ignore_conflicts=True)
    return hits


class _Known:
    """The items of some sets, with positions turned into primary keys."""

    def __init__(self, sets: Sequence[int]) -> None:
        rows = list(EvaluationItem.objects.filter(set__in=sets).order_by("pk").values_list("pk", "text"))
        self._keys = [pk for pk, _ in rows]
        self._index = LeakIndex([text for _, text in rows])

    def check_many(self, texts: Sequence[str]) -> list[list[Leak]]:
        return [
            [Leak(self._keys[leak.item], leak.kind, leak.score) for leak in leaks]
            for leaks in self._index.check_many(texts)
        ]


def _version() -> tuple[int, ...]:
    """Sets are never changed, only added and removed: their numbers say whether an index is still right."""
    return tuple(EvaluationSet.objects.order_by("pk").values_list("pk", flat=True))


@lru_cache(maxsize=2)
def _known(sets: tuple[int, ...]) -> _Known | None:
    """Building takes a second or two for ten thousand items; each process keeps all sets, and one alone while it is scanned."""
    return _Known(sets) if sets else None
