"""Search of words in instructions, in the form that the index of words answers (made by lionweb_words, a function of the migrations)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection
from django.db.models import F

from lionweb.models import NewWords

LONGEST = 200
MOST_WORDS, LEAST_ALIKE = 12, 0.35
_SHORTEST_BEGINNING = 3
# Both as in that function: signs that part words, and scripts written without blanks, where every character is a word.
_SIGNS = str.maketrans(dict.fromkeys("<>&/@.:-+_~", " "))
_WITHOUT_BLANKS = re.compile(r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
_TERM = re.compile(r'(-?)"([^"]*)"?|(\S+)')
_PLAIN = re.compile(r"\w+'?\w*")


@dataclass(frozen=True)
class Condition:
    """A part of a WHERE clause over the instruction `i` and its words `w`."""

    sql: str
    values: list[Any] = field(default_factory=list)


def matching(words: str) -> Condition | None:
    """Instructions with all the words, each of which may go on from three letters ("colour" finds "colours").

    "a phrase", -without and "or" work as in web searches; *part finds parts of words. None: no words, all instructions.
    """
    alternatives: list[list[Condition]] = [[]]
    for term in _TERM.finditer(words.strip()[:LONGEST]):
        if term.group(0).lower() == "or" and alternatives[-1]:
            alternatives.append([])
        elif term.group(2) != "":  # an empty phrase asks for nothing
            alternatives[-1].append(_condition(term))
    found = [_joined(terms, "AND") for terms in alternatives if terms]
    return _joined(found, "OR") if found else None


def few_with(condition: Condition, most: int) -> list[int] | None:
    """The ids of the instructions that meet a condition; None if there are more than `most`."""
    query = f"""
        SELECT i.id FROM lionweb_instruction i JOIN lionweb_instructionwords w ON w.instruction_id = i.id
        WHERE {condition.sql} LIMIT %s
    """
    with connection.cursor() as cursor:
        cursor.execute(query, [*condition.values, most + 1])
        ids = [row[0] for row in cursor.fetchall()]
    return ids if len(ids) <= most else None


def _joined(parts: Sequence[Condition], word: str) -> Condition:
    sql = f" {word} ".join(part.sql for part in parts)
    return Condition(f"({sql})" if len(parts) > 1 else sql, [value for part in parts for value in part.values])


def _condition(term: re.Match[str]) -> Condition:
    minus, phrase, word = term.groups()
    if word is None:
        found = _phrase(phrase) if _has_words(phrase) else _literally(phrase)
        return _without(found) if minus else found
    if word.startswith("-") and len(word) > 1:
        return _without(_whole(word[1:]))
    return _parts(word.strip("*")) if _is_part(word) else _begun(word)


def _without(found: Condition) -> Condition:
    return Condition(f"NOT {found.sql}", found.values)


def _has_words(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _is_part(word: str) -> bool:
    return "*" in (word[0], word[-1]) and _PLAIN.fullmatch(word.strip("*")) is not None


def _searchable(text: str) -> str:
    return _WITHOUT_BLANKS.sub(r" \1 ", text.translate(_SIGNS))


def _phrase(text: str) -> Condition:
    return Condition("w.words @@ phraseto_tsquery('simple', %s)", [_searchable(text)])


def _literally(text: str) -> Condition:
    return Condition("(i.text ILIKE %s OR i.input ILIKE %s)", [_holding(text)] * 2)


def _holding(text: str) -> str:
    """A pattern for LIKE."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%"


def _exactly(text: str, found: Condition) -> Condition:
    """Where the index knows only the words of it, the text itself decides: C++ is not C."""
    return found if _is_plain(text) else _joined([found, _literally(text)], "AND")


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and not _WITHOUT_BLANKS.search(text)


def _whole(word: str) -> Condition:
    return _exactly(word, _phrase(word)) if _has_words(word) else _literally(word)


def _begun(word: str) -> Condition:
    """The prefix of words; what is more than one word is looked for as it stands, for beginnings of C++ are many."""
    if len(word) < _SHORTEST_BEGINNING or not _is_plain(word):
        return _whole(word)
    return Condition("w.words @@ to_tsquery('simple', %s)", [f"'{_quoted(_searchable(word))}':*"])


def _parts(part: str) -> Condition:
    return _any_of(words_with(part))


def _any_of(words: Sequence[str]) -> Condition:
    if not words:
        return Condition("false")
    return Condition("w.words @@ to_tsquery('simple', %s)", [" | ".join(f"'{_quoted(word)}'" for word in words)])


def _quoted(word: str) -> str:
    return re.sub(r"['\\]", " ", word)


def words_with(part: str) -> list[str]:
    """Known words with this part, the shortest first."""
    query = "SELECT word FROM lionweb_word WHERE word LIKE %s ORDER BY length(word), word LIMIT %s"
    with connection.cursor() as cursor:
        cursor.execute(query, [_holding(part.lower()), MOST_WORDS * 10])
        return [row[0] for row in cursor.fetchall()]


def alike(words: str) -> str:
    """The search with each word that nobody used replaced by known ones like it; "" where there are none."""
    changed, found = [], False
    for term in words.strip()[:LONGEST].split():
        near = _alike(term) if _PLAIN.fullmatch(term) and len(term) >= _SHORTEST_BEGINNING else []
        found |= bool(near)
        changed.append(near[0] if near else term)
    return " ".join(changed) if found else ""


def _alike(word: str) -> list[str]:
    """Known words like one that is not known; none where it is, or begins one that is."""
    word = word.lower()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM lionweb_word WHERE word >= %s AND word < %s LIMIT 1", [word, f"{word}\U0010ffff"])
        if cursor.fetchone():
            return []
        cursor.execute("SELECT set_config('pg_trgm.similarity_threshold', %s, false)", [str(LEAST_ALIKE)])
        cursor.execute(
            "SELECT word FROM lionweb_word WHERE word %% %s ORDER BY similarity(word, %s) DESC, word LIMIT %s",
            [word, word, MOST_WORDS],
        )
        return [row[0] for row in cursor.fetchall()]


def words_are_unread() -> bool:
    """Whether imported instructions cannot be found yet. Single ones have their words from the start."""
    return NewWords.objects.filter(last__gt=F("first")).exists()
