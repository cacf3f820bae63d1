"""Pool files in CSV, comma, semicolon or tab separated, and cells that are safe in a spreadsheet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain

from distill.errors import PoolError
from distill.pool_rows import TEXT_FIELDS
from distill.pool_source import PoolProblem, Row, Source, encoding_problem


def read_csv(source: Source) -> Iterator[Row]:
    damaged: list[PoolProblem] = []
    lines = _csv_lines(source, damaged)
    first = next(lines, "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    names: list[str] = []
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            source.on_problem(PoolProblem(line, f"Not CSV: {error}.", "bad_csv"))
            continue
        if not names:
            names = _header(cells)
        elif damaged:
            source.on_problem(damaged[0])
            damaged.clear()
        elif len(cells) > len(names):
            message = f"The row has {len(cells)} cells, but the first line names {len(names)} columns."
            source.on_problem(PoolProblem(line, message, "bad_csv"))
        elif any(cells):
            yield line, {name: _unescape(cell) for name, cell in zip(names, cells, strict=False)}


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip().lower() for cell in cells]
    if not set(names) & set(TEXT_FIELDS):
        raise PoolError(
            f"The first line of the CSV file names no column called {' or '.join(TEXT_FIELDS)}.",
            "Put the names of the columns in the first line.",
        )
    return names


def _csv_lines(source: Source, damaged: list[PoolProblem]) -> Iterator[str]:
    """Decoded lines. One that is not UTF-8 keeps its place, so that a quoted cell over several lines stays whole."""
    for number, line in source.lines():
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            damaged.append(encoding_problem(line[error.start], error.start, number))
            yield line.decode("utf-8", "replace")


_FORMULA = re.compile(r"'*[=+\-@\t\r]")


def escape(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula; `_unescape` gives the text back."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unescape(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
