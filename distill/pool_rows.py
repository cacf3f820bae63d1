"""One row of a pool file as instructions. Knows the names that fields have in the pools people share."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from distill.records import Instruction

TEXT_FIELDS = ("instruction", "text", "prompt", "question")
_INPUT_FIELDS = ("input", "context")
_OUTPUT_FIELDS = ("output", "response", "answer", "completion")
_NO_INPUT = ("<noinput>", "<no input>")
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")

Extra = dict[str, Any]


class BadRow(Exception):
    """A row that holds no usable instruction; `kind` is the machine name of what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def instructions_of(row: Any, max_characters: int) -> Iterator[tuple[Instruction, Extra]]:
    """The row's instruction with each of its inputs, and the other fields; an answer is always called "output"."""
    if not isinstance(row, dict):
        raise BadRow("not_a_row", f"A row must be an object with the field instruction, not {_kind(row)}.")
    name = next((field for field in TEXT_FIELDS if row.get(field) not in (None, "")), None)
    if name is None:
        raise BadRow("missing", f"The row has no {' or '.join(TEXT_FIELDS)}.")
    text = _text(row, name)
    if not text:
        raise BadRow("missing", f"The field {name} is blank.")
    for case in _cases(row):
        instruction = Instruction(
            text, _input(case), _text(row, "language") or _text(row, "lang"), _text(row, "category")
        )
        _check_length(instruction, max_characters)
        yield instruction, _extra({**row, **case}, name)


def _cases(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Self-instruct seed tasks nest their inputs and outputs; other rows are their own only case."""
    nested = row.get("instances")
    if nested is None:
        return [row]
    if not isinstance(nested, list) or not nested or not all(isinstance(case, dict) for case in nested):
        raise BadRow("not_a_row", "The field instances must be a list of objects.")
    return nested


def _input(case: dict[str, Any]) -> str:
    for name in _INPUT_FIELDS:
        value = _text(case, name)
        if value:
            return "" if value.lower() in _NO_INPUT else value
    return ""


def _text(row: dict[str, Any], name: str) -> str:
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRow("not_text", f"The field {name} must be text, not {_kind(value)}.")
    _check_characters(value, name)
    return value.replace("\r\n", "\n").strip()


def _extra(row: dict[str, Any], text_field: str) -> Extra:
    used = {text_field, *_INPUT_FIELDS, "language", "lang", "category", "instances"}
    extra = {name: value for name, value in row.items() if name not in used}
    output = next((name for name in _OUTPUT_FIELDS if isinstance(extra.get(name), str)), None)
    if output:
        extra["output"] = extra.pop(output)
    _check_characters(extra, "")
    return extra


def _check_characters(value: Any, name: str) -> None:
    """Neither the database nor a UTF-8 file can hold zero characters and halves of surrogate pairs."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_characters(key, "")
            _check_characters(item, name or str(key))
    elif isinstance(value, list):
        for item in value:
            _check_characters(item, name)
    elif isinstance(value, str) and (found := _unstorable(value)):
        raise BadRow(
            "not_text", f"The field {name or 'names'} holds the unusable character U+{ord(found.group()):04X}."
        )


def _unstorable(text: str) -> re.Match[str] | None:
    if text.isascii() and "\0" not in text:  # the common case, at a fraction of a search's time
        return None
    return _NOT_STORABLE.search(text)


def _check_length(instruction: Instruction, limit: int) -> None:
    length = len(instruction.text) + len(instruction.input)
    if length > limit:
        raise BadRow("too_long", f"The instruction is {length:,} characters long; at most {limit:,} are accepted.")


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "an object", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
