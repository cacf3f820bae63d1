"""Import and removal of evaluation sets."""

from collections import Counter
from typing import BinaryIO

from django.db import IntegrityError, transaction

from distill.errors import PoolError
from distill.evaluation_files import EvaluationRow, read_evaluation
from distill.pool_source import PoolProblem
from lionweb.models import EvaluationItem, EvaluationKind, EvaluationSet, Pool, User
from lionweb.services import audit, leak_scans
from lionweb.services.errors import Refused
from lionweb.services.pools import KEPT_PROBLEMS

BATCH = 1000


class BadItems(PoolError):
    """Items that cannot be used, in a file of which nothing was imported.

    Attributes:
        problems: the first 200, in the order of the file.
        count: how many there are.
    """

    def __init__(self, problems: list[PoolProblem], count: int) -> None:
        lines = "1 line" if count == 1 else f"{count:,} lines"
        first = f"Line {problems[0].line}: {problems[0].message}"
        super().__init__(
            f"{lines} of the file cannot be used, so nothing was imported. {first}",
            "Mend the lines named here and import the file again.",
        )
        self.problems, self.count = problems, count


@transaction.atomic
def import_evaluation_set(*, stream: BinaryIO, filename: str, name: str, actor: User | None) -> EvaluationSet:
    """All items of a file, streamed; every instruction is then compared with them in the background.

    Raises BadItems if any line is bad, PoolError for an unusable file, Refused for a name that is taken.
    """
    made = _reserve(name, filename, actor)
    problems: list[PoolProblem] = []
    bad = 0

    def note(problem: PoolProblem) -> None:
        nonlocal bad
        bad += 1
        if len(problems) < KEPT_PROBLEMS:
            problems.append(problem)

    kinds: Counter[str] = Counter()
    batch: list[EvaluationItem] = []
    for _, row in read_evaluation(stream, filename, on_problem=note):
        if bad:
            continue  # nothing is kept; the rest is read for further problems
        kinds[row.kind] += 1
        batch.append(_item(made, kinds.total(), row))
        if len(batch) == BATCH:
            EvaluationItem.objects.bulk_create(batch)
            batch = []
    EvaluationItem.objects.bulk_create(batch)
    if bad:
        raise BadItems(problems, bad)
    if not kinds:
        raise PoolError(f"{filename} holds no item.", "An evaluation set needs at least one.")
    made.items, made.kind = kinds.total(), kinds.most_common(1)[0][0]
    made.save(update_fields=["items", "kind"])
    audit.record(actor=actor, action="evaluation_set.import", target=made, name=made.name, items=made.items)
    leak_scans.ask(evaluation_set=made)
    return made


def _reserve(name: str, filename: str, actor: User | None) -> EvaluationSet:
    name = name.strip()
    if not name or len(name) > 100 or "\x00" in name:
        raise Refused("An evaluation set needs a name of 1 to 100 characters.", "Choose another name.")
    try:
        with transaction.atomic():
            return EvaluationSet.objects.create(
                name=name, kind=EvaluationKind.OPEN, filename=filename[-255:].replace("\x00", ""), created_by=actor
            )
    except IntegrityError as error:
        raise Refused(f"An evaluation set named {name!r} is there already.", "Choose another name.") from error


def _item(made: EvaluationSet, position: int, row: EvaluationRow) -> EvaluationItem:
    return EvaluationItem(
        set=made,
        position=position,
        key=row.key,
        text=row.text,
        answer=row.answer,
        category=row.category,
        choices=list(row.choices),
        target=row.target,
        extra=row.extra,
    )


@transaction.atomic
def remove_evaluation_set(*, evaluation_set: EvaluationSet, actor: User) -> None:
    """With its items and every mark that an instruction overlaps with one of them."""
    audit.record(
        actor=actor,
        action="evaluation_set.remove",
        target=evaluation_set,
        name=evaluation_set.name,
        items=evaluation_set.items,
    )
    evaluation_set.delete()
    for pool in Pool.objects.filter(leak_count__gt=0):
        leak_scans.count_leaks(pool=pool)
