"""Import of pools: streamed from the file into the database, with all of its good rows or with none."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import BinaryIO

from django.conf import settings
from django.db import IntegrityError, connection, transaction

from distill.errors import PoolError
from distill.pools import PoolProblem, read_pool
from distill.records import Instruction as Row
from lionweb import queue
from lionweb.models import Pool, PoolKind, User
from lionweb.services import audit, leak_scans
from lionweb.services.errors import Refused
from lionweb.services.pool_rows import store_rows

KEPT_PROBLEMS = 200


class BadLines(PoolError):
    """Lines that cannot be used, in a file of which nothing was imported.

    Attributes:
        problems: the first 200, in the order of the file.
        count: how many there are.
    """

    def __init__(self, problems: list[PoolProblem], count: int) -> None:
        lines = "1 line" if count == 1 else f"{count:,} lines"
        super().__init__(
            f"{lines} of the file cannot be used, so nothing was imported.",
            "Mend the lines named here and import the file again, or choose to keep the good lines.",
        )
        self.problems, self.count = problems, count


@dataclass
class _Report:
    """What was noticed while a file was read."""

    problems: list[PoolProblem] = field(default_factory=list)
    count: int = 0
    duplicates: int = 0
    outputs: int = 0
    rows: int = 0
    known: int = 0

    def note(self, problem: PoolProblem) -> None:
        if problem.kind == "duplicate":
            self.duplicates += 1
            return
        self.count += 1
        if len(self.problems) < KEPT_PROBLEMS:
            self.problems.append(problem)

    def as_json(self) -> list[dict[str, object]]:
        """For Pool.problems: remarks on the whole file (kind "remark", line 0), then the bad lines."""
        return [asdict(PoolProblem(0, text, "remark")) for text in self._remarks()] + [
            asdict(problem) for problem in self.problems
        ]

    def _remarks(self) -> Iterator[str]:
        if self.duplicates:
            yield f"{self.duplicates:,} repeated rows were merged with the first of their kind."
        if self.known:
            yield f"{self.known:,} instructions were known already; their answers are used again."
        if self.outputs:
            yield f"{self.outputs:,} rows carry an output. It is not used: the teacher of an experiment answers for itself."


def import_pool(*, stream: BinaryIO, filename: str, name: str, kind: str, actor: User | None, keep_good: bool) -> Pool:
    """Raises BadLines if there is any and `keep_good` is false, PoolError for an unusable file, Refused for a taken name."""
    report = _Report()
    name = checked_name(name, kind)
    with transaction.atomic():
        pool = reserve(name, kind, filename, actor)
        with connection.cursor() as cursor:
            wanted = _until_bad(_rows(stream, filename, report), report, keep_good)
            stored = store_rows(cursor, pool, wanted)
            if report.count and not keep_good:
                raise BadLines(report.problems, report.count)
            if not stored.rows:
                raise PoolError("No row of the file can be used.", "A pool needs at least one instruction.")
            report.rows, report.known = stored.rows, stored.rows - stored.new
        pool.rows, pool.problem_count, pool.problems = report.rows, report.count, report.as_json()
        pool.save(update_fields=["rows", "problem_count", "problems"])
        audit.record(
            actor=actor,
            action="pool.import",
            target=pool,
            rows=report.rows,
            problems=report.count,
            duplicates=report.duplicates,
            filename=pool.filename,
        )
        leak_scans.ask(pool=pool)
        queue.ring_words()
    return pool


def checked_name(name: str, kind: str) -> str:
    name = name.strip()
    if not name or len(name) > 100 or "\x00" in name:
        raise Refused("A pool needs a name of 1 to 100 characters.", "Choose another name.")
    if kind not in PoolKind.values:
        raise Refused(f"{kind!r} is no kind of pool.", f"Choose {' or '.join(PoolKind.values)}.")
    return name


def reserve(name: str, kind: str, filename: str, actor: User | None) -> Pool:
    try:
        with transaction.atomic():
            return Pool.objects.create(name=name, kind=kind, filename=filename[-255:], created_by=actor)
    except IntegrityError as error:
        raise Refused(f"A pool named {name!r} is there already.", "Choose another name.") from error


def _rows(stream: BinaryIO, filename: str, report: _Report) -> Iterator[Row]:
    limit = settings.INSTRUCTION_MAX_CHARACTERS
    for line, row, extra in read_pool(stream, filename, on_problem=report.note, max_characters=limit):
        report.outputs += "output" in extra
        if len(row.language) > 16 or len(row.category) > 100:
            name, most = ("language", 16) if len(row.language) > 16 else ("category", 100)
            report.note(PoolProblem(line, f"The {name} is longer than {most} characters.", "too_long"))
        else:
            yield row


def _until_bad(rows: Iterator[Row], report: _Report, keep_good: bool) -> Iterator[Row]:
    """The rows; after a bad one the file is only read for further problems, unless the good ones are wanted."""
    for row in rows:
        if keep_good or not report.count:
            yield row
