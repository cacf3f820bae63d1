"""Pool files in JSON: one array, or one object a line. Both are read in a stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from distill.errors import PoolError
from distill.pool_source import MAX_LINE_BYTES, PoolProblem, Row, Source, decode, encoding_problem


def read_lines(source: Source) -> Iterator[Row]:
    for number, line in source.lines():
        text = decode(line, number, source.on_problem)
        if text is None or not text.strip():
            continue
        try:
            yield number, _loads(text)
        except (ValueError, RecursionError) as error:
            source.on_problem(PoolProblem(number, f"The line is not JSON: {_reason(error)}", "bad_json"))


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}."
    return "it is nested too deeply." if isinstance(error, RecursionError) else f"{error}."


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)
_loads = _DECODER.decode


class _ArrayText:
    """The decoded text of a JSON array, of which only the part being read is held."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._bytes = b""
        self.text, self.at, self.line, self.ended = "", 0, 1, False
        self._decoded_lines = 1
        self._line_bytes = 0  # of the last decoded line

    def more(self) -> bool:
        """Drop what was read and decode another block; False at the end of the file."""
        self.skip_to(self.at)
        self.text, self.at = self.text[self.at :], 0
        block = self._source.read()
        self.ended = not block
        self.text += self._decode(self._bytes + block)
        return not self.ended

    def _decode(self, data: bytes) -> str:
        """All of it but a character that is cut at the end of the block."""
        try:
            text, self._bytes = data.decode("utf-8"), b""
        except UnicodeDecodeError as error:
            whole, last = data[: error.start], data[: error.start].rfind(b"\n") + 1
            if self.ended or error.reason != "unexpected end of data":
                line = self._decoded_lines + whole.count(b"\n")
                at = error.start - last + (0 if last else self._line_bytes)
                raise PoolError(encoding_problem(data[error.start], at, line).message) from error
            text, self._bytes = whole.decode("utf-8"), data[error.start :]
        done = len(data) - len(self._bytes)
        last = data.rfind(b"\n", 0, done) + 1
        self._line_bytes = done - last + (0 if last else self._line_bytes)
        self._decoded_lines += text.count("\n")
        return text

    def skip_to(self, at: int) -> None:
        self.line += self.text.count("\n", self.at, at)
        self.at = at

    def next_character(self) -> str:
        """The next character that is not white space, unread; "" at the end."""
        while True:
            found = re.compile(r"\S").search(self.text, self.at)
            self.skip_to(found.start() if found else len(self.text))
            if found or not self.more():
                return found.group() if found else ""


def read_array(source: Source) -> Iterator[Row]:
    text = _ArrayText(source)
    text.next_character()
    text.skip_to(text.at + 1)  # the opening bracket
    while (character := text.next_character()) not in ("]", ""):
        if character == ",":
            text.skip_to(text.at + 1)
            continue
        line = text.line
        try:
            value, end = _element(text)
        except (ValueError, RecursionError) as error:
            reason = _reason(error)
            source.on_problem(PoolProblem(line, f"Not JSON: {reason} The rest of the file was not read.", "bad_json"))
            return
        yield line, value
        text.skip_to(end)
    if not character:
        source.on_problem(PoolProblem(text.line, "The file ends before the closing bracket: it is cut.", "bad_json"))


def _element(text: _ArrayText) -> tuple[Any, int]:
    """One element and where it ends, with more of the file read until it is whole."""
    while True:
        try:
            return _DECODER.raw_decode(text.text, text.at)
        except ValueError:
            if len(text.text) - text.at > MAX_LINE_BYTES or not text.more():
                raise
