"""The rows of a pool on their way into the database: block by block, while the file is read on."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from django.db.backends.utils import CursorWrapper

from distill.records import Instruction as Row
from lionweb.models import Pool

BLOCK = 5_000
_MAKE_TABLE = """
    CREATE TEMPORARY TABLE imported_rows (
        position integer, text text, input text, language text, category text, content_hash text
    ) ON COMMIT DROP
"""
_COPY = "COPY imported_rows (position, text, input, language, category, content_hash) FROM STDIN"
_ADD_INSTRUCTIONS = """
    INSERT INTO lionweb_instruction (text, input, language, category, content_hash, created_at)
    SELECT text, input, language, category, content_hash, now() FROM imported_rows ORDER BY position
    ON CONFLICT (content_hash) DO NOTHING
"""
_ADD_ENTRIES = """
    INSERT INTO lionweb_poolentry (pool_id, instruction_id, position)
    SELECT %s, instruction.id, imported_rows.position
    FROM imported_rows JOIN lionweb_instruction instruction USING (content_hash) ORDER BY imported_rows.position
"""
# The index of words takes imports up in the background; until then its searches read what it has put aside.
_PUT_ASIDE = "SET LOCAL gin_pending_list_limit = '2GB'"
# A block meets its instructions by their hashes; never by reading all there are.
_BY_INDEX = "SET LOCAL enable_seqscan = off"
# Imports write their instructions one after the other: two that share some would otherwise wait for each other for ever.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtext('lionweb.import_pool'))"


def store_rows(cursor: CursorWrapper, pool: Pool, rows: Iterator[Row]) -> tuple[int, int]:
    """How many rows the pool holds now, and how many of them are new instructions. Within a transaction.

    Two blocks exist at a time: one that the database takes, in a thread of its own, and one that is being read.
    """
    for statement in (_ONE_AT_A_TIME, _PUT_ASIDE, _BY_INDEX, _MAKE_TABLE):
        cursor.execute(statement)
    entries, added, position = 0, 0, 0
    storing: Future[tuple[int, int]] | None = None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="import") as database:
        while block := list(islice(rows, BLOCK)):
            entries, added = _sum(entries, added, storing)
            storing = database.submit(_store, cursor, pool.pk, block, position)
            position += len(block)
    return _sum(entries, added, storing)


def _sum(entries: int, added: int, storing: Future[tuple[int, int]] | None) -> tuple[int, int]:
    more = storing.result() if storing else (0, 0)
    return entries + more[0], added + more[1]


def _store(cursor: CursorWrapper, pool: int, block: Sequence[Row], position: int) -> tuple[int, int]:
    """Entries and new instructions of one block."""
    with cursor.copy(_COPY) as copy:
        for place, row in enumerate(block, position):
            copy.write_row((place, row.text, row.input, row.language, row.category, row.content_hash))
    cursor.execute(_ADD_INSTRUCTIONS)
    added = cursor.rowcount
    cursor.execute(_ADD_ENTRIES, [pool])
    entries = cursor.rowcount
    cursor.execute("TRUNCATE imported_rows")
    return entries, added
