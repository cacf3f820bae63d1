"""Reads the words of new instructions in the background: of imported ones for the search, of all for the list of known words."""

from django.db import connection, transaction

from lionweb import queue
from lionweb.models import NewWords

CHUNK = 5_000
LONGEST = 100
_READ = """
    INSERT INTO lionweb_instructionwords (instruction_id, words)
    SELECT id, lionweb_words(text, input) FROM lionweb_instruction WHERE id BETWEEN %s AND %s ORDER BY id
    ON CONFLICT DO NOTHING
"""
# Dates, amounts and serial numbers would be most of the words, and nobody misspells them.
_LEARN = """
    INSERT INTO lionweb_word (word)
    SELECT DISTINCT word FROM (
        SELECT unnest(tsvector_to_array(words)) AS word FROM lionweb_instructionwords
        WHERE instruction_id BETWEEN %s AND %s
    ) AS used WHERE length(word) BETWEEN 2 AND %s AND word !~ '^[0-9]+$' ORDER BY word
    ON CONFLICT DO NOTHING
"""
_TIDY = "SELECT gin_clean_pending_list('instruction_words')"
_ALONE = "SELECT pg_try_advisory_xact_lock(hashtext('lionweb.words'))"


def ring_if_new() -> None:
    if NewWords.objects.exists():
        queue.ring_words()


def read_words() -> None:
    """Until nothing is left to read. One worker does it; others that are called meanwhile take no notice."""
    while _read_chunk():
        pass
    with connection.cursor() as cursor:
        cursor.execute(_TIDY)


@transaction.atomic
def _read_chunk() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_ALONE)
        parts = list(NewWords.objects.order_by("id")[:CHUNK]) if cursor.fetchone()[0] else []
        room = CHUNK
        for part in parts:
            end = min(part.last, part.first + room - 1)
            cursor.execute(_READ, [part.first, end])
            cursor.execute(_LEARN, [part.first, end, LONGEST])
            if end < part.last:
                NewWords.objects.filter(pk=part.pk).update(first=end + 1)
                return True
            NewWords.objects.filter(pk=part.pk).delete()
            room -= end - part.first + 1
            if room <= 0:
                return True
    return False
