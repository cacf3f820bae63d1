"""FastChat's table: questions, answers of two models and reviews, joined by their ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from distill.errors import PoolError
from distill.judged_pairs import JudgedAnswer, JudgedPair
from distill.judged_rows import (
    MAX_HELD_CHARACTERS,
    ROW_COST,
    BadPair,
    Fields,
    fields_of,
    id_of,
    instruction_of,
    name_of,
    needed_text,
    text_of,
)
from distill.pool_source import Row
from distill.records import Instruction
from distill.referee import ORDERS, parse_review


@dataclass(frozen=True)
class _Answer:
    question: str
    model: str
    text: str


@dataclass
class FastChatTable:
    """What the reviews refer to. `teacher`: the model that counts as the teacher; empty: the first review's first."""

    teacher: str
    max_instruction: int
    questions: dict[str, Instruction] = field(default_factory=dict)
    answers: dict[str, _Answer] = field(default_factory=dict)
    held: int = 0

    def add_question(self, row: Any) -> None:
        fields = fields_of(row)
        key = id_of(fields, "question_id")
        if key in self.questions:
            raise BadPair(f"The question {key} is there already.", "duplicate_id")
        turns = fields.get("turns")
        if turns is not None:
            if not isinstance(turns, list) or not turns:
                raise BadPair("The field turns must be a list that begins with a text.")
            fields = {**fields, "text": turns[0]}
        made = instruction_of(fields, "text", self.max_instruction)
        self._hold(len(made.text))
        self.questions[key] = made

    def add_answer(self, row: Any) -> None:
        fields = fields_of(row)
        key = id_of(fields, "answer_id")
        if key in self.answers:
            raise BadPair(f"The answer {key} is there already.", "duplicate_id")
        model = name_of(fields, "model_id")
        if not model:
            raise BadPair("The row has no model_id.", "missing")
        answer = _Answer(id_of(fields, "question_id"), model, needed_text(fields, "text"))
        self._hold(len(answer.text))
        self.answers[key] = answer

    def _hold(self, characters: int) -> None:
        self.held += characters + ROW_COST
        if self.held > MAX_HELD_CHARACTERS:
            raise PoolError(
                f"The questions and answers are longer than {MAX_HELD_CHARACTERS:,} characters together.",
                "Split the table into several, each with its own reviews.",
            )

    def pair(self, row: Any) -> JudgedPair:
        fields = fields_of(row)
        question = id_of(fields, "question_id")
        if question not in self.questions:
            raise BadPair(f"No question has the id {question}.", "missing")
        first, second = (self._answer(fields, name, question) for name in ("answer1_id", "answer2_id"))
        self.teacher = self.teacher or first.model
        if self.teacher not in (first.model, second.model):
            raise BadPair(f"Neither answer is by {self.teacher}, the teacher.")
        order = ORDERS[0] if first.model == self.teacher else ORDERS[1]
        teacher, student = (first, second) if order == ORDERS[0] else (second, first)
        return JudgedPair(
            self.questions[question],
            JudgedAnswer(teacher.model, teacher.text),
            JudgedAnswer(student.model, student.text),
            _judge(fields),
            parse_review("", order, text_of(fields, "text")),
            stated=_stated(fields, order),
        )

    def _answer(self, fields: Fields, name: str, question: str) -> _Answer:
        key = id_of(fields, name)
        answer = self.answers.get(key)
        if answer is None:
            raise BadPair(f"No answer has the id {key}.", "missing")
        if answer.question != question:
            raise BadPair(f"The answer {key} is to question {answer.question}, not {question}.")
        return answer


def _judge(fields: Fields) -> str:
    return f"reviewer {id_of(fields, 'reviewer_id')}" if fields.get("reviewer_id") is not None else ""


def _stated(fields: Fields, order: str) -> tuple[float, float] | None:
    """What the file's own tool read in the text, as (teacher, student); -1 stands there for what it could not read."""
    given = fields.get("score")
    if not isinstance(given, list) or len(given) != 2:
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) and 1 <= one <= 10 for one in given):
        return None
    first, second = float(given[0]), float(given[1])
    return (first, second) if order == ORDERS[0] else (second, first)


def pairs(table: FastChatTable, reviews: Iterable[Row]) -> Iterator[tuple[int, JudgedPair | BadPair]]:
    for line, row in reviews:
        try:
            yield line, table.pair(row)
        except BadPair as error:
            yield line, error
