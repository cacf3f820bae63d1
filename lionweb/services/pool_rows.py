"""The rows of a pool on their way into the database: block by block, while the file is read on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

from django.db.backends.utils import CursorWrapper
from django.utils import timezone
from psycopg.errors import UniqueViolation

from distill.records import Instruction as Row
from lionweb.models import NewWords, Pool

BLOCK = 5_000
TRIES = 5
_KNOWN = "SELECT content_hash, id FROM lionweb_instruction WHERE content_hash = ANY(%s)"
_NEW_IDS = "SELECT nextval('lionweb_instruction_id_seq') FROM generate_series(1, %s)"
_ADD_INSTRUCTIONS = (
    "COPY lionweb_instruction (id, content_hash, text, input, language, category, created_at) FROM STDIN"
)
_ADD_ENTRIES = "COPY lionweb_poolentry (pool_id, instruction_id, position) FROM STDIN"
# The words for the search are read afterwards, in the background.
_WITHOUT_WORDS = "SET LOCAL lionweb.importing = 'yes'"
# What refers to what is checked block by block, while the file is read on, and not for all rows when everything else is done.
_CHECK_AT_ONCE = "SET CONSTRAINTS ALL IMMEDIATE"
# Imports write their instructions one after the other: two that share some would otherwise wait for each other for ever.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('lionweb.import_pool'))"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class Stored:
    """Rows that the pool holds now, and how many of them are new instructions."""

    rows: int = 0
    new: int = 0

    def __add__(self, other: "Stored") -> "Stored":
        return Stored(self.rows + other.rows, self.new + other.new)


@dataclass(frozen=True)
class _Line:
    """A row in COPY's format, without its id. Made by the reader: the thread of the database should not wait for it."""

    content_hash: str
    text: str


def one_import_at_a_time(cursor: CursorWrapper) -> None:
    """Until the transaction ends."""
    cursor.execute(_ONE_AT_A_TIME)


def store_rows(cursor: CursorWrapper, pool: Pool, rows: Iterator[Row]) -> Stored:
    """Within a transaction; `rows` are distinct.

    Two blocks exist at a time: one that the database takes, in a thread of its own, and one that is being read.
    """
    for statement in (_ONE_AT_A_TIME, _WITHOUT_WORDS, _CHECK_AT_ONCE):
        cursor.execute(statement)
    lines, stored, last, position = map(_line, rows), Stored(), Stored(), 0
    storing: Future[Stored] | None = None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import") as database:
        while block := list(islice(lines, BLOCK)):
            last = storing.result() if storing else Stored()
            stored += last
            look_up = last.rows != last.new or not position
            storing = database.submit(_store, cursor, pool.pk, block, position, look_up)
            position += len(block)
    return stored + (storing.result() if storing else Stored())


def _line(row: Row) -> _Line:
    fields = (row.content_hash, row.text, row.input, row.language, row.category)
    return _Line(row.content_hash, "\t".join([_escaped(field) for field in fields]))


def _escaped(field: str) -> str:
    return field if field.isprintable() and "\\" not in field else field.translate(_ESCAPES)


def _store(cursor: CursorWrapper, pool: int, block: Sequence[_Line], position: int, look_up: bool) -> Stored:
    """COPY takes no known instruction: they are looked up where the last block had some, or once COPY has met one."""
    for left in reversed(range(TRIES)):
        cursor.execute("SAVEPOINT pool_block")
        try:
            known, new = _ids(cursor, block, look_up)
            break
        except UniqueViolation:
            if not left:
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT pool_block")
            look_up = True
    ids = known | new
    entries = "".join([f"{pool}\t{ids[line.content_hash]}\t{place}\n" for place, line in enumerate(block, position)])
    with cursor.copy(_ADD_ENTRIES) as copy:
        copy.write(entries)
    cursor.execute("RELEASE SAVEPOINT pool_block")
    return Stored(len(block), len(new))


def _ids(cursor: CursorWrapper, block: Sequence[_Line], look_up: bool) -> tuple[dict[str, int], dict[str, int]]:
    """The ids of the block's instructions by their hashes: of the known ones, and of the new ones, now written."""
    known: dict[str, int] = {}
    if look_up:
        cursor.execute(_KNOWN, [[line.content_hash for line in block]])
        known = dict(cursor.fetchall())
    lines = [line for line in block if line.content_hash not in known]
    if not lines:
        return known, {}
    cursor.execute(_NEW_IDS, [len(lines)])
    numbers: list[int] = [number for (number,) in cursor.fetchall()]
    now = timezone.now().isoformat()
    with cursor.copy(_ADD_INSTRUCTIONS) as copy:
        copy.write("".join([f"{n}\t{line.text}\t{now}\n" for n, line in zip(numbers, lines, strict=True)]))
    first, last = min(numbers), max(numbers)
    cursor.execute(f"INSERT INTO {NewWords._meta.db_table} (first, last) VALUES (%s, %s)", [first, last])
    return known, {line.content_hash: n for n, line in zip(numbers, lines, strict=True)}
