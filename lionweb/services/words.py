"""Collects the words of new instructions, for the search of parts of words and of misspelt ones. Runs in the background."""

from django.db import connection, transaction
from django.db.models import Max

from lionweb import queue
from lionweb.models import Instruction, WordsProgress

CHUNK = 5_000
LONGEST = 100
# Dates, amounts and serial numbers would be most of the words, and nobody misspells them.
_COLLECT = """
    INSERT INTO lionweb_word (word)
    SELECT DISTINCT word FROM (
        SELECT unnest(tsvector_to_array(words)) AS word FROM lionweb_instruction WHERE id > %s AND id <= %s
    ) AS used WHERE length(word) BETWEEN 2 AND %s AND word !~ '^[0-9]+$' ORDER BY word
    ON CONFLICT DO NOTHING
"""
_TIDY = "SELECT gin_clean_pending_list('instruction_words')"
_ALONE = "SELECT pg_try_advisory_xact_lock(hashtext('lionweb.words'))"


def ring_if_new() -> None:
    if _last() > _collected():
        queue.ring_words()


def collect_words() -> None:
    """Let the index of words take up what imports left aside, then go on until every instruction's words are known."""
    with connection.cursor() as cursor:
        cursor.execute(_TIDY)
    while _collect_chunk():
        pass


@transaction.atomic
def _collect_chunk() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_ALONE)
        if not cursor.fetchone()[0]:
            return False
        begin = _collected()
        end = min(begin + CHUNK, _last())
        if end <= begin:
            return False
        cursor.execute(_COLLECT, [begin, end, LONGEST])
    WordsProgress.objects.update_or_create(pk=1, defaults={"instruction": end})
    return True


def _collected() -> int:
    progress = WordsProgress.objects.filter(pk=1).first()
    return progress.instruction if progress else 0


def _last() -> int:
    return Instruction.objects.aggregate(last=Max("pk"))["last"] or 0
