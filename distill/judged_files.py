"""Reads files of judged pairs: FastChat's table of questions, answers and reviews, AlpacaEval's annotations with the
models' outputs, and plain lines of our own. What a file is shows in its first row, not in its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, BinaryIO

from distill.errors import PoolError
from distill.judged_fastchat import FastChatTable, pairs
from distill.judged_lines import Outputs, annotation, plain
from distill.judged_pairs import JudgedPair
from distill.judged_rows import BadPair
from distill.pool_json import read_array, read_lines
from distill.pool_source import OnProblem, PoolProblem, Row, Source
from distill.pools import MAX_CHARACTERS

MAX_FILES = 20
_FORMATS = (
    "Give a review file with its question and answer files, an annotations file, or lines with teacher and student."
)
# What stands in a row of each kind of file, in the order in which kinds are tried.
_KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("reviews", ("answer1_id", "answer2_id")),
    ("answers", ("answer_id", "question_id")),
    ("annotations", ("instruction", "preference", "generator_1")),
    ("annotations", ("instruction", "preference", "output_1")),
    ("outputs", ("instruction", "output", "generator")),
    ("plain", ("instruction", "teacher", "student")),
    ("questions", ("question_id",)),
    ("prompts", ("prompt_id",)),  # the wording of FastChat's referee: nothing to judge by
    ("prompts", ("reviewer_id",)),
)
_JUDGED = ("reviews", "annotations", "plain")


@dataclass(frozen=True)
class JudgedFile:
    name: str
    stream: BinaryIO


@dataclass(frozen=True)
class _Opened:
    name: str
    kind: str
    rows: Iterator[Row]
    note: OnProblem


def read_judged(
    files: Sequence[JudgedFile],
    *,
    on_problem: OnProblem,
    teacher: str = "",
    max_instruction: int = MAX_CHARACTERS,
) -> Iterator[tuple[int, JudgedPair]]:
    """(line, pair) of every judgement, in a stream; rows that cannot be used go to `on_problem` with their file's name.

    teacher: the model that counts as the teacher; empty takes the one that the file names first (AlpacaEval's reference).
    Raises PoolError for files that cannot be read at all, are of several formats, or hold no judgement.
    """
    if not 1 <= len(files) <= MAX_FILES:
        raise PoolError(f"{len(files)} files were given.", f"Give 1 to {MAX_FILES}.")
    opened = [_open(one, on_problem, several=len(files) > 1) for one in files]
    kinds = {one.kind for one in opened if one.kind in _JUDGED}
    if len(kinds) != 1:
        raise PoolError(f"The files hold {'several kinds of judgements' if kinds else 'no judgement'}.", _FORMATS)
    read = {"reviews": _fastchat, "annotations": _alpaca_eval, "plain": _plain}[kinds.pop()]
    yield from _of_one_pair_of_models(read(opened, teacher, max_instruction))


def _open(file: JudgedFile, on_problem: OnProblem, *, several: bool) -> _Opened:
    noted: list[PoolProblem] = []

    def note(problem: PoolProblem) -> None:
        noted.extend([] if noted else [problem])
        named = f"{file.name}: {problem.message}" if several else problem.message
        on_problem(PoolProblem(problem.line, named, problem.kind))

    if not file.name.lower().endswith((".json", ".jsonl", ".ndjson")):
        raise PoolError(f"{file.name} is no file of judged pairs.", "Use .jsonl or .json files.")
    source = Source(file.stream, note)
    rows = read_array(source) if source.first_character() == b"[" else read_lines(source)
    first = list(islice(rows, 1))
    if not first:
        why = f"The first problem, in line {noted[0].line}: {noted[0].message}" if noted else _FORMATS
        raise PoolError(f"{file.name} holds no row.", why)
    return _Opened(file.name, _kind(file.name, first[0][1]), chain(first, rows), note)


def _kind(name: str, row: Any) -> str:
    if isinstance(row, dict):
        for kind, fields in _KINDS:
            if all(field in row for field in fields):
                return kind
    raise PoolError(f"{name} holds nothing that is known here: its first row has other fields.", _FORMATS)


_Read = Iterator[tuple[int, JudgedPair, OnProblem]]


def _fastchat(opened: Sequence[_Opened], teacher: str, max_instruction: int) -> _Read:
    table = FastChatTable(teacher, max_instruction)
    for kind, add in (("questions", table.add_question), ("answers", table.add_answer)):
        found = [one for one in opened if one.kind == kind]
        if not found:
            raise PoolError(f"The reviews come without their {kind}.", f"Give the file of {kind} too.")
        for one in found:
            _take(one, add)
    for one in opened:
        if one.kind == "reviews":
            yield from _pairs(one, lambda rows: pairs(table, rows))


def _alpaca_eval(opened: Sequence[_Opened], teacher: str, max_instruction: int) -> _Read:
    outputs = Outputs()
    for one in opened:
        if one.kind == "outputs":
            _take(one, outputs.add)

    def read(row: Any) -> JudgedPair:
        return annotation(row, outputs, teacher=teacher, max_instruction=max_instruction)

    for one in opened:
        if one.kind == "annotations":
            yield from _pairs(one, lambda rows: _each(rows, read))


def _plain(opened: Sequence[_Opened], teacher: str, max_instruction: int) -> _Read:
    def read(row: Any) -> JudgedPair:
        return plain(row, max_instruction=max_instruction)

    for one in opened:
        if one.kind == "plain":
            yield from _pairs(one, lambda rows: _each(rows, read))


def _take(file: _Opened, add: Callable[[Any], None]) -> None:
    for line, row in file.rows:
        try:
            add(row)
        except BadPair as error:
            file.note(PoolProblem(line, str(error), error.kind))


def _each(rows: Iterable[Row], read: Callable[[Any], JudgedPair]) -> Iterator[tuple[int, JudgedPair | BadPair]]:
    for line, row in rows:
        try:
            yield line, read(row)
        except BadPair as error:
            yield line, error


def _pairs(file: _Opened, read: Callable[[Iterable[Row]], Iterator[tuple[int, JudgedPair | BadPair]]]) -> _Read:
    for line, found in read(file.rows):
        if isinstance(found, BadPair):
            file.note(PoolProblem(line, str(found), found.kind))
        else:
            yield line, found, file.note


def _of_one_pair_of_models(rows: _Read) -> Iterator[tuple[int, JudgedPair]]:
    """The models of the first pair; an experiment has one teacher and one student."""
    first: JudgedPair | None = None
    for line, pair, note in rows:
        first = first or pair
        wanted, found = (first.teacher.model, first.student.model), (pair.teacher.model, pair.student.model)
        if wanted == found:
            yield line, pair
        else:
            said = f"The pair is of {' and '.join(found)}; the first one is of {' and '.join(wanted)}."
            note(PoolProblem(line, f"{said} Import each student by itself.", "other_models"))
