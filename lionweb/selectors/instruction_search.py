"""Search of words in instructions, in the form that the index of words answers."""

import re

from django.contrib.postgres.search import SearchQuery
from django.db.models import Q, QuerySet

from lionweb.models import Instruction

LONGEST = 200
# Scripts written without blanks: their "words" in the index are whole clauses, so parts are looked for in the text itself.
_WITHOUT_BLANKS = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# The index takes <...> for a tag and leaves it out, and with <script> all that stands in it.
_MARKUP = re.compile(r"[<>]")
_OPERATORS = re.compile(r'"|(?:^|\s)-\w|\sor\s', re.IGNORECASE)
_WORD = re.compile(r"\w+")
_SHORTEST_BEGINNING = 3


def matching(found: QuerySet[Instruction], words: str) -> QuerySet[Instruction]:
    """Instructions with all the words, each of which may go on from three letters ("colour" finds "colours").

    A phrase in quotes, -word and "or" work as in web searches; then words must be whole. No words: all instructions.
    """
    words = words.strip()[:LONGEST]
    if not words:
        return found
    parts = _WORD.findall(words)
    if not parts or _WITHOUT_BLANKS.search(words) or _MARKUP.search(words):
        return found.filter(Q(text__icontains=words) | Q(input__icontains=words))
    query = SearchQuery(words, config="simple", search_type="websearch")
    if not _OPERATORS.search(words):
        begun = " & ".join(f"'{part}'{':*' if len(part) >= _SHORTEST_BEGINNING else ''}" for part in parts)
        query = query | SearchQuery(begun, config="simple", search_type="raw")
    return found.filter(words=query)
