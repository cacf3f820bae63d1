"""Reads files of evaluation items: JSON lines (Vicuna, MT-Bench, AGIEval, plain ones) and BIG-Bench Hard's JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from distill.errors import PoolError
from distill.pool_json import read_array, read_lines
from distill.pool_source import OnProblem, PoolProblem, Row, Source

MAX_OBJECT_BYTES = 64 * 2**20
MAX_CHARACTERS = 100_000
_TEXT_FIELDS = ("question", "instruction", "prompt", "text", "input")
_TARGET_FIELDS = ("target", "label")
_ANSWER_FIELDS = ("answer", "output", "reference", "response")
_KEY_FIELDS = ("question_id", "id", "key")
_USED = {*_TEXT_FIELDS, *_TARGET_FIELDS, *_ANSWER_FIELDS, *_KEY_FIELDS, "category", "options", "choices", "turns"}
_OPTION = re.compile(r"^(\([A-Z]\) ?.*|- .*)$", re.MULTILINE)
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class EvaluationRow:
    """One item. `target` is the right choice or the exact answer, `answer` a free text to compare with."""

    key: str
    text: str
    category: str = ""
    choices: tuple[str, ...] = ()
    target: str = ""
    answer: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return "choice" if self.choices else "answer" if self.target else "open"


class _BadItem(Exception):
    pass


def read_evaluation(stream: BinaryIO, filename: str, *, on_problem: OnProblem) -> Iterator[tuple[int, EvaluationRow]]:
    """(line, item) of every usable row, in a stream; the others go to `on_problem`. Keys are unique.

    Raises PoolError for a file that cannot be read at all.
    """
    seen: dict[str, int] = {}
    for line, row in _rows(stream, filename, on_problem):
        try:
            item = _item(row, len(seen) + 1)
            if item.key in seen:
                raise _BadItem(f"The key {item.key} stands in line {seen[item.key]} already.")
        except _BadItem as error:
            on_problem(PoolProblem(line, str(error), "not_a_row"))
            continue
        seen[item.key] = line
        yield line, item


def _rows(stream: BinaryIO, filename: str, on_problem: OnProblem) -> Iterator[Row]:
    name = filename.lower()
    if not name.endswith((".json", ".jsonl", ".ndjson")):
        raise PoolError(f"{filename} is no evaluation file.", "Use a .jsonl or .json file.")
    source = Source(stream, on_problem)
    if source.first_character() == b"[":
        return read_array(source)
    return read_lines(source) if name.endswith(("l", ".ndjson")) else _examples(source, filename)


def _examples(source: Source, filename: str) -> Iterator[Row]:
    """The list `examples` of one object; such files are small, so it is read whole up to a limit."""
    data = bytearray()
    while block := source.read():
        data += block
        if len(data) > MAX_OBJECT_BYTES:
            raise PoolError(
                f"{filename} is one object of more than {MAX_OBJECT_BYTES:,} bytes.", "Write one item a line instead."
            )
    try:
        found = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise PoolError(f"{filename} is not JSON: {error}.", "Mend the file and import it again.") from error
    examples = found.get("examples") if isinstance(found, dict) else None
    if not isinstance(examples, list):
        raise PoolError(f"{filename} has no list named examples.", "Use a .jsonl file with one item a line.")
    yield from enumerate(examples, 1)


def _item(row: Any, number: int) -> EvaluationRow:
    if not isinstance(row, dict):
        raise _BadItem("An item must be an object.")
    text = _question(row)
    passage = _text(row, "passage")
    choices = _choices(row, text)
    item = EvaluationRow(
        key=_first(row, _KEY_FIELDS) or str(number),
        text=f"{passage}\n\n{text}" if passage else text,
        category=_text(row, "category")[:100],
        choices=choices,
        target=_first(row, _TARGET_FIELDS) or (_text(row, "answer") if choices else ""),
        answer=None if choices else _first(row, _ANSWER_FIELDS) or None,
        extra=_extra(row),
    )
    if len(item.text) > MAX_CHARACTERS:
        raise _BadItem(f"The item is {len(item.text):,} characters long; at most {MAX_CHARACTERS:,} are accepted.")
    if len(item.key) > 100:
        raise _BadItem("The key is longer than 100 characters.")
    return item


def _question(row: dict[str, Any]) -> str:
    turns = row.get("turns")
    if turns is not None:
        if not isinstance(turns, list) or not turns or not isinstance(turns[0], str) or not turns[0].strip():
            raise _BadItem("The field turns must be a list that begins with a text.")
        return _storable(turns[0], "turns")
    text = _first(row, _TEXT_FIELDS)
    if not text:
        raise _BadItem(f"The item has no {', '.join(_TEXT_FIELDS[:-1])} or {_TEXT_FIELDS[-1]}.")
    return text


def _choices(row: dict[str, Any], text: str) -> tuple[str, ...]:
    """The options of the row; those of BIG-Bench Hard stand in the question under "Options:"."""
    given = row.get("options") or row.get("choices")
    if given is None:
        _, found, options = text.rpartition("Options:\n")
        return tuple(_OPTION.findall(options)) if found else ()
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise _BadItem("The field options must be a list of texts.")
    return tuple(_storable(one, "options") for one in given)


def _extra(row: dict[str, Any]) -> dict[str, Any]:
    """What a run may still need: the passage alone, further turns, fields nobody here knows."""
    extra = {name: value for name, value in row.items() if name not in _USED and value is not None}
    turns = row.get("turns") or []
    extra |= {"further_turns": turns[1:]} if len(turns) > 1 else {}
    _check_storable(extra)
    return extra


def _check_storable(value: Any) -> None:
    """Names and texts at any depth."""
    if isinstance(value, str):
        _storable(value, "extra")
    for one in value.items() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _check_storable(one)


def _first(row: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _text(row, name))), "")


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if name == "reference" and isinstance(value, list) and value:  # one for each turn
        value = value[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise _BadItem(f"The field {name} must be text.")
    return _storable(value or "", name).strip()


def _storable(text: str, name: str) -> str:
    if found := _NOT_STORABLE.search(text):
        raise _BadItem(f"The field {name} holds the unusable character U+{ord(found.group()):04X}.")
    return text
