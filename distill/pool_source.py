"""The bytes of a pool file: numbered lines or blocks, checked for encoding and length, and never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from distill.errors import PoolError

MAX_LINE_BYTES = 4 * 2**20
_READ_BYTES = 2**18
_SAVE_AS_UTF8 = "Save the file as UTF-8 and upload it again."
_BOMS = ((b"\xff\xfe", "UTF-16"), (b"\xfe\xff", "UTF-16"))


@dataclass(frozen=True)
class PoolProblem:
    """One thing wrong with a file. kind: encoding, bad_json, bad_csv, not_a_row, missing, not_text, too_long, duplicate."""

    line: int
    message: str
    kind: str = ""


OnProblem = Callable[[PoolProblem], None]
Row = tuple[int, Any]
"""The line a row begins on, and the row as the format gives it."""


class Source:
    """A byte stream with one look ahead, checked for the encodings that people upload by mistake."""

    def __init__(self, stream: BinaryIO, on_problem: OnProblem) -> None:
        self._stream = stream
        self.on_problem = on_problem
        self._head = stream.read(4096)
        self._refuse_utf16()
        self._head = self._head.removeprefix(b"\xef\xbb\xbf")

    def _refuse_utf16(self) -> None:
        for mark, name in _BOMS:
            if self._head.startswith(mark):
                raise PoolError(f"Line 1 begins with byte 0x{mark[0]:02X}: the file is {name}.", _SAVE_AS_UTF8)
        at = self._head.find(0)
        if at >= 0 and (
            self._head[::2].count(0) > len(self._head) / 8 or self._head[1::2].count(0) > len(self._head) / 8
        ):
            raise PoolError(f"Byte {at + 1} of line 1 is zero: the file is UTF-16 without a mark.", _SAVE_AS_UTF8)

    def first_character(self) -> bytes:
        return self._head.lstrip()[:1]

    def read(self) -> bytes:
        head, self._head = self._head, b""
        return head or self._stream.read(_READ_BYTES)

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Numbered lines with their ends. A line over the limit is reported, passed over and given as an empty one."""
        number = 0
        while line := self._line():
            number += 1
            if len(line) > MAX_LINE_BYTES and not line.endswith(b"\n"):
                size = len(line)
                while (more := self._stream.readline(MAX_LINE_BYTES)) and not more.endswith(b"\n"):
                    size += len(more)
                size += len(more)
                self.on_problem(
                    PoolProblem(
                        number, f"The line is {size:,} bytes long; at most {MAX_LINE_BYTES:,} are read.", "too_long"
                    )
                )
                line = b"\n"
            yield number, line

    def _line(self) -> bytes:
        if not self._head:
            return self._stream.readline(MAX_LINE_BYTES + 1)
        line, newline, self._head = self._head.partition(b"\n")
        return line + newline if newline else line + self._stream.readline(MAX_LINE_BYTES + 1)


def decode(line: bytes, number: int, on_problem: OnProblem) -> str | None:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        on_problem(encoding_problem(line[error.start], error.start, number))
        return None


def encoding_problem(byte: int, at: int, line: int) -> PoolProblem:
    return PoolProblem(
        line,
        f"Byte {at + 1} of line {line} is 0x{byte:02X}, which is not UTF-8 here (it may be Latin-1). {_SAVE_AS_UTF8}",
        "encoding",
    )
