"""What each bulk action does to a chunk of instructions, and how it is taken back. One statement each, so one truth."""

from dataclasses import dataclass
from typing import Any

from django.db import connection

from lionweb.models import BulkAction, BulkJob

CHUNK = 1_000


@dataclass(frozen=True)
class _Change:
    """SQL over the instruction `i` and the item `b`; %(value)s and %(actor)s are the job's.

    `before` is kept as JSON; `still` says whether what the job set stands; `back` sets what `before` says.
    """

    needed: str
    before: str
    set: str
    still: str
    back: str


def _label(column: str) -> _Change:
    return _Change(
        needed=f"i.{column} <> %(value)s",
        before=f"to_jsonb(i.{column})",
        set=f"{column} = %(value)s",
        still=f"i.{column} = %(value)s",
        back=f"{column} = b.before #>> '{{}}'",
    )


_CHANGES = {
    BulkAction.CATEGORY: _label("category"),
    BulkAction.LANGUAGE: _label("language"),
    BulkAction.DELETE: _Change(
        needed="i.deleted_at IS NULL",
        before="'null'::jsonb",
        set="deleted_at = now(), deleted_by_id = %(actor)s",
        still="i.deleted_at = b.at",
        back="deleted_at = NULL, deleted_by_id = NULL",
    ),
    BulkAction.RESTORE: _Change(
        needed="i.deleted_at IS NOT NULL",
        before="jsonb_build_object('at', i.deleted_at, 'by', i.deleted_by_id)",
        set="deleted_at = NULL, deleted_by_id = NULL",
        still="i.deleted_at IS NULL",
        back="deleted_at = (b.before ->> 'at')::timestamptz, "
        "deleted_by_id = (SELECT u.id FROM lionweb_user u WHERE u.id = (b.before ->> 'by')::bigint)",
    ),
}
# Rows are locked in the order of their ids, so that two jobs wait for each other instead of both for ever.
_APPLY = """
    WITH part AS (
        SELECT id, instruction_id FROM lionweb_bulkitem WHERE job_id = %(job)s AND state = 'open' ORDER BY id LIMIT %(chunk)s
    ), held AS (
        SELECT i.id, {needed} AS needed, {before} AS before FROM lionweb_instruction i
        WHERE i.id IN (SELECT instruction_id FROM part) ORDER BY i.id FOR UPDATE
    ), changed AS (
        UPDATE lionweb_instruction i SET {set} FROM held WHERE i.id = held.id AND held.needed
    )
    UPDATE lionweb_bulkitem b SET at = now(), before = held.before,
        state = CASE WHEN held.needed THEN 'changed' ELSE 'same' END
    FROM part JOIN held ON held.id = part.instruction_id WHERE b.id = part.id
"""
_UNDO = """
    WITH part AS (
        SELECT id, instruction_id FROM lionweb_bulkitem
        WHERE job_id = %(job)s AND state = 'changed' ORDER BY id LIMIT %(chunk)s
    ), held AS (
        SELECT i.id, b.id AS item, {still} AS still FROM part JOIN lionweb_bulkitem b ON b.id = part.id
        JOIN lionweb_instruction i ON i.id = part.instruction_id ORDER BY i.id FOR UPDATE OF i
    ), changed AS (
        UPDATE lionweb_instruction i SET {back} FROM held JOIN lionweb_bulkitem b ON b.id = held.item
        WHERE i.id = held.id AND held.still
    )
    UPDATE lionweb_bulkitem b SET state = CASE WHEN held.still THEN 'undone' ELSE 'kept' END
    FROM held WHERE b.id = held.item
"""
_ADD = """
    WITH part AS (
        SELECT id, instruction_id FROM lionweb_bulkitem WHERE job_id = %(job)s AND state = 'open' ORDER BY id LIMIT %(chunk)s
    ), added AS (
        INSERT INTO lionweb_poolentry (pool_id, instruction_id, position)
        SELECT %(pool)s, part.instruction_id, row_number() OVER (ORDER BY part.id)
            + coalesce((SELECT max(position) FROM lionweb_poolentry WHERE pool_id = %(pool)s), -1)
        FROM part ON CONFLICT (pool_id, instruction_id) DO NOTHING RETURNING instruction_id
    )
    UPDATE lionweb_bulkitem b SET at = now(), state = CASE WHEN added.instruction_id IS NULL THEN 'same' ELSE 'changed' END
    FROM part LEFT JOIN added USING (instruction_id) WHERE b.id = part.id
"""
_TAKE_OUT = """
    WITH part AS (
        SELECT id, instruction_id FROM lionweb_bulkitem
        WHERE job_id = %(job)s AND state = 'changed' ORDER BY id LIMIT %(chunk)s
    ), gone AS (
        DELETE FROM lionweb_poolentry WHERE pool_id = %(pool)s AND instruction_id IN (SELECT instruction_id FROM part)
        RETURNING instruction_id
    )
    UPDATE lionweb_bulkitem b SET state = CASE WHEN gone.instruction_id IS NULL THEN 'kept' ELSE 'undone' END
    FROM part LEFT JOIN gone USING (instruction_id) WHERE b.id = part.id
"""
_COUNT_POOL = """
    UPDATE lionweb_pool SET rows = (SELECT count(*) FROM lionweb_poolentry WHERE pool_id = %(pool)s) WHERE id = %(pool)s
"""


def apply_chunk(job: BulkJob) -> int:
    """Change the next open items, within a transaction. Returns how many there were; 0: all are done."""
    if job.action == BulkAction.POOL:
        _run(job, "SELECT id FROM lionweb_pool WHERE id = %(pool)s FOR NO KEY UPDATE")
        return _run(job, _ADD)
    return _run(job, _APPLY.format(**vars(_CHANGES[BulkAction(job.action)])))


def undo_chunk(job: BulkJob) -> int:
    """Take back the next changed items, within a transaction. Returns how many there were; 0: all are done."""
    if job.action == BulkAction.POOL:
        return _run(job, _TAKE_OUT)
    return _run(job, _UNDO.format(**vars(_CHANGES[BulkAction(job.action)])))


def settle_pool(job: BulkJob) -> None:
    """The pool's own count, once its entries stand."""
    if job.action == BulkAction.POOL:
        _run(job, _COUNT_POOL)


def _run(job: BulkJob, sql: str) -> int:
    values: dict[str, Any] = {
        "job": job.pk,
        "actor": job.actor_id,
        "value": job.value,
        "pool": job.pool_id,
        "chunk": CHUNK,
    }
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.rowcount
