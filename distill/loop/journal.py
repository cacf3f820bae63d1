"""Rows of a JSON-lines file that is only ever appended to, so that a crash costs at most the row being written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from distill.errors import DistillError

Row = dict[str, Any]


class Journal:
    """`rows` holds everything in the file, oldest first. A half last line is cut off when the file is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = _whole_rows(path) if path.exists() else []
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: Row) -> None:
        """Write one row; it is the kernel's before this returns, and so survives the death of this process."""
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()
        self.rows.append(row)

    def close(self) -> None:
        self._file.close()


def _whole_rows(path: Path) -> list[Row]:
    *lines, tail = path.read_bytes().split(b"\n")
    rows = [row for number, line in enumerate(lines, 1) if (row := _row(path, number, line)) is not None]
    if tail:
        _mend(path, tail, rows)
    return rows


def _mend(path: Path, tail: bytes, rows: list[Row]) -> None:
    """No part of an object is an object itself: a last line that can be read lacks only its line break."""
    last = _parsed(tail)
    with path.open("r+b") as file:
        if last is None:
            file.truncate(path.stat().st_size - len(tail))
        else:
            file.seek(0, 2)
            file.write(b"\n")
            rows.append(last)


def _row(path: Path, number: int, line: bytes) -> Row | None:
    if not line.strip():
        return None
    row = _parsed(line)
    if row is None:
        raise DistillError(
            f"Line {number} of {path} cannot be read.", "Remove the line and run again: what it held is made anew."
        )
    return row


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
