"""Reads and writes pool files: JSON arrays of Alpaca rows, JSON lines and CSV."""

from __future__ import annotations

import csv
import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TextIO

from distill.errors import PoolError
from distill.pool_csv import escape, read_csv
from distill.pool_json import read_array, read_lines
from distill.pool_rows import BadRow, Extra, instructions_of
from distill.pool_source import OnProblem, PoolProblem, Row, Source
from distill.records import Instruction

__all__ = ["MAX_CHARACTERS", "PoolProblem", "read_pool", "write_pool"]

MAX_CHARACTERS = 20_000
_COLUMNS = ("instruction", "input", "output", "language", "category")
PoolRow = tuple[int, Instruction, Extra]


def read_pool(
    stream: BinaryIO, filename: str, *, on_problem: OnProblem, max_characters: int = MAX_CHARACTERS
) -> Iterator[PoolRow]:
    """(line, instruction, other fields) of every usable row, in a stream; the others go to `on_problem`.

    Raises PoolError for a file that cannot be read at all, and at the end for one that holds no usable row.
    """
    first_problem: list[PoolProblem] = []

    def note(problem: PoolProblem) -> None:
        first_problem.extend([] if first_problem else [problem])
        on_problem(problem)

    empty = True
    for row in _distinct(_instructions(_rows(stream, filename, note), max_characters, note), note):
        empty = False
        yield row
    if empty and first_problem:
        line, message = first_problem[0].line, first_problem[0].message
        raise PoolError(f"{filename} holds no usable row.", f"The first problem, in line {line}: {message}")
    if empty:
        raise PoolError(f"{filename} is empty.", "A pool needs at least one instruction.")


def _rows(stream: BinaryIO, filename: str, on_problem: OnProblem) -> Iterator[Row]:
    """JSON arrays and JSON lines are told apart by their first character, not by the name."""
    name = filename.lower()
    if not name.endswith((".json", ".jsonl", ".ndjson", ".csv", ".tsv")):
        raise PoolError(f"{filename} is no pool file.", "Use a .json, .jsonl or .csv file.")
    source = Source(stream, on_problem)
    if name.endswith((".csv", ".tsv")):
        return read_csv(source)
    return read_array(source) if source.first_character() == b"[" else read_lines(source)


def _instructions(rows: Iterator[Row], max_characters: int, on_problem: OnProblem) -> Iterator[PoolRow]:
    for line, row in rows:
        try:
            found = list(instructions_of(row, max_characters))
        except BadRow as error:
            on_problem(PoolProblem(line, str(error), error.kind))
            continue
        for instruction, extra in found:
            yield line, instruction, extra


def _distinct(rows: Iterator[PoolRow], on_problem: OnProblem) -> Iterator[PoolRow]:
    seen = _FirstLines()
    for line, instruction, extra in rows:
        first = seen.first_line(instruction.content_hash, line)
        if first is None:
            yield line, instruction, extra
        else:
            on_problem(PoolProblem(line, f"The row repeats the instruction of line {first}.", "duplicate"))


class _FirstLines:
    """The line on which each content hash was first seen, in some 30 bytes a hash (a dict takes 170).

    Keeps 64 bits of a hash: among ten million rows the chance that two different ones meet is one in 400,000.
    """

    def __init__(self) -> None:
        self._size = 1024
        self._keys, self._lines, self._count = array("Q", bytes(8 * 1024)), array("L", bytes(8 * 1024)), 0

    def first_line(self, content_hash: str, line: int) -> int | None:
        """Where the hash was seen before; None if this is the first time."""
        key = int(content_hash[:16], 16) or 1
        at = self._place(key)
        if self._keys[at] == key:
            return self._lines[at]
        self._keys[at], self._lines[at] = key, line
        self._count += 1
        if self._count * 3 > self._size * 2:
            self._grow()
        return None

    def _place(self, key: int) -> int:
        at = key % self._size
        while self._keys[at] not in (0, key):
            at = (at + 1) % self._size
        return at

    def _grow(self) -> None:
        keys, lines = self._keys, self._lines
        self._size *= 2
        self._keys, self._lines = array("Q", bytes(8 * self._size)), array("L", bytes(8 * self._size))
        for key, line in zip(keys, lines, strict=True):
            if key:
                at = self._place(key)
                self._keys[at], self._lines[at] = key, line


def write_pool(path: Path, rows: Iterable[Instruction | tuple[Instruction, Extra]]) -> None:
    """Write a .json, .jsonl or .csv file, whole or not at all. CSV keeps the output and drops other extra fields."""
    writer = {".json": _write_array, ".jsonl": _write_lines, ".csv": _write_csv}.get(path.suffix.lower())
    if writer is None:
        raise PoolError(f"{path.name} is no pool file.", "Use a .json, .jsonl or .csv file.")
    _replace(path, lambda stream: writer(stream, map(_record, rows)))


def _record(row: Instruction | tuple[Instruction, Extra]) -> Extra:
    instruction, extra = row if isinstance(row, tuple) else (row, {})
    named = {"language": instruction.language, "category": instruction.category}
    known = {"instruction": instruction.text, "input": instruction.input}
    return {**known, **extra, **{name: value for name, value in named.items() if value}}


def _write_lines(stream: TextIO, records: Iterable[Extra]) -> None:
    for record in records:
        stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _write_array(stream: TextIO, records: Iterable[Extra]) -> None:
    before = "[\n"
    for record in records:
        stream.write(before + json.dumps(record, ensure_ascii=False))
        before = ",\n"
    stream.write("[]\n" if before == "[\n" else "\n]\n")


def _write_csv(stream: TextIO, records: Iterable[Extra]) -> None:
    writer = csv.writer(stream)
    writer.writerow(_COLUMNS)
    for record in records:
        writer.writerow([escape(str(record.get(name) or "")) for name in _COLUMNS])


def _replace(path: Path, write: Callable[[TextIO], None]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("w", encoding="utf-8", newline="") as stream:
            write(stream)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
