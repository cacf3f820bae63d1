"""One row of a file of judged pairs: its fields, checked, whatever its writer put there."""

from __future__ import annotations

import re
from typing import Any

from distill.records import Instruction

MAX_CHARACTERS = 100_000
MAX_NAME = 200
MAX_HELD_CHARACTERS = 200 * 2**20
"""What is held while the judgements stream past: questions, answers, outputs. ROW_COST stands for a row's own weight."""
ROW_COST = 300
_NOT_STORABLE = re.compile("[\x00\ud800-\udfff]")

Fields = dict[str, Any]


class BadPair(Exception):
    """A row that holds no usable judgement; `kind` is the machine name of what is wrong."""

    def __init__(self, message: str, kind: str = "not_a_row") -> None:
        super().__init__(message)
        self.kind = kind


def fields_of(row: Any) -> Fields:
    if not isinstance(row, dict):
        raise BadPair("A row must be an object.")
    return row


def text_of(row: Fields, name: str, *, most: int = MAX_CHARACTERS) -> str:
    """The field's text with its ends as they are; "" where it is missing."""
    value = row.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadPair(f"The field {name} must be text.", "not_text")
    if found := _NOT_STORABLE.search(value):
        raise BadPair(f"The field {name} holds the unusable character U+{ord(found.group()):04X}.", "not_text")
    if len(value) > most:
        raise BadPair(f"The field {name} is {len(value):,} characters long; at most {most:,} are accepted.", "too_long")
    return value


def needed_text(row: Fields, name: str) -> str:
    if name not in row or row[name] is None:
        raise BadPair(f"The row has no {name}.", "missing")
    return text_of(row, name)


def name_of(row: Fields, name: str, default: str = "") -> str:
    return text_of(row, name, most=MAX_NAME).strip() or default


def id_of(row: Fields, name: str) -> str:
    """Ids are numbers in some files and texts in others; "1" and 1 name the same."""
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**18:
        return str(value)
    if not isinstance(value, str) or not value.strip():
        raise BadPair(f"The row has no {name}.", "missing")
    return name_of(row, name)


def score_of(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 10:
        raise BadPair(f"The field {name} must be a number from 1 to 10.")
    return float(value)


def instruction_of(row: Fields, text_field: str, most: int) -> Instruction:
    text, given = text_of(row, text_field).strip(), text_of(row, "input").strip()
    if not text:
        raise BadPair(f"The row has no {text_field}.", "missing")
    if len(text) + len(given) > most:
        length = len(text) + len(given)
        raise BadPair(f"The instruction is {length:,} characters long; at most {most:,} are accepted.", "too_long")
    category = text_of(row, "category", most=100).strip() or text_of(row, "dataset", most=100).strip()
    return Instruction(text, given, text_of(row, "language", most=16).strip(), category)
