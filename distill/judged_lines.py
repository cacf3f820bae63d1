"""Judged pairs that stand in one row each: AlpacaEval's annotations, and our own plain lines."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from distill.errors import PoolError
from distill.judged_pairs import LOSS, TIE, WIN, JudgedAnswer, JudgedPair
from distill.judged_rows import (
    MAX_HELD_CHARACTERS,
    ROW_COST,
    BadPair,
    Fields,
    fields_of,
    instruction_of,
    name_of,
    needed_text,
    score_of,
    text_of,
)
from distill.records import Review
from distill.referee import ORDERS, parse_review

NO_ORDER = "none"
_NAMED = {"teacher": LOSS, "student": WIN, "tie": TIE}
_SEEN = {LOSS: "Prefers the teacher's answer", TIE: "Prefers neither answer", WIN: "Prefers the student's answer"}


class Outputs:
    """What each model answered by AlpacaEval's files of outputs: a check on the annotations, and their filling."""

    def __init__(self) -> None:
        self._found: dict[bytes, str] = {}
        self._held = 0

    def add(self, row: Any) -> None:
        fields = fields_of(row)
        generator, text = name_of(fields, "generator"), needed_text(fields, "output")
        self._held += len(text) + ROW_COST
        if self._held > MAX_HELD_CHARACTERS:
            raise PoolError(
                f"The outputs are longer than {MAX_HELD_CHARACTERS:,} characters together.",
                "Leave them out: the annotations carry them too.",
            )
        self._found[_digest(generator, needed_text(fields, "instruction"))] = text

    def check(self, fields: Fields, number: str) -> str:
        """The annotated output, or the one of the files where the annotation has none."""
        generator = name_of(fields, f"generator_{number}")
        known = self._found.get(_digest(generator, text_of(fields, "instruction")))
        if fields.get(f"output_{number}") is None and known is not None:
            return known
        text = needed_text(fields, f"output_{number}")
        if known is not None and known != text:
            raise BadPair(f"The field output_{number} is not what {generator} answered by the file of its outputs.")
        return text


def _digest(generator: str, instruction: str) -> bytes:
    return hashlib.sha256(f"{generator}\x1f{instruction}".encode()).digest()[:16]


def annotation(row: Any, outputs: Outputs, *, teacher: str, max_instruction: int) -> JudgedPair:
    """AlpacaEval: output_1 is the reference, and so the teacher's, unless `teacher` names the other model.

    The positions in which the judge saw the two are drawn at random and not in the file: there is no order.
    """
    fields = fields_of(row)
    answers = [
        JudgedAnswer(name_of(fields, f"generator_{n}", f"output_{n}"), outputs.check(fields, n)) for n in ("1", "2")
    ]
    if teacher and teacher not in (answers[0].model, answers[1].model):
        raise BadPair(f"Neither answer is by {teacher}, the teacher.")
    swapped = bool(teacher) and teacher != answers[0].model
    preference = _preference(fields.get("preference"))
    if preference is not None and swapped:
        preference = 1 - preference
    return JudgedPair(
        instruction_of(fields, "instruction", max_instruction),
        answers[1] if swapped else answers[0],
        answers[0] if swapped else answers[1],
        name_of(fields, "annotator"),
        _without_scores(_kept(fields), preference),
        preference,
    )


def _preference(value: Any) -> float | None:
    """1: the first is better, 2: the second, between them a leaning; 0 and 1.5 are ties; null was not readable."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not (value == 0 or 1 <= value <= 2):
        raise BadPair("The field preference must be a number from 1 to 2, or 0 for a tie.")
    return TIE if value == 0 else float(value) - 1


def _kept(fields: Fields) -> str:
    """The judgement as the file has it, without the texts."""
    names = ("preference", "annotator", "generator_1", "generator_2", "raw_completion")
    body = {name: fields[name] for name in names if isinstance(fields.get(name), str | int | float)}
    return json.dumps(body, ensure_ascii=True)


def plain(row: Any, *, max_instruction: int) -> JudgedPair:
    """Our own format: instruction, input, teacher, student, and scores, a review text or a preference."""
    fields = fields_of(row)
    teacher = JudgedAnswer(name_of(fields, "teacher_model", "teacher"), needed_text(fields, "teacher"))
    student = JudgedAnswer(name_of(fields, "student_model", "student"), needed_text(fields, "student"))
    preference = _named_preference(fields)
    review = _plain_review(fields) if preference is None else _without_scores(text_of(fields, "review"), preference)
    instruction = instruction_of(fields, "instruction", max_instruction)
    return JudgedPair(instruction, teacher, student, name_of(fields, "judge"), review, preference)


def _named_preference(fields: Fields) -> float | None:
    given = fields.get("preference")
    if given is None:
        return None
    if not isinstance(given, str) or given not in _NAMED:
        raise BadPair(f"The field preference must be one of {', '.join(_NAMED)}.")
    if fields.get("score_teacher") is not None or fields.get("score_student") is not None:
        raise BadPair("The row has scores and a preference; give one of them.")
    return _NAMED[given]


def _plain_review(fields: Fields) -> Review:
    """The scores named in the row, else those that stand in its review."""
    raw, order = text_of(fields, "review"), _order(fields)
    given = [fields.get("score_teacher"), fields.get("score_student")]
    if given == [None, None]:
        if fields.get("review") is None:
            raise BadPair("The row has no score_teacher and score_student, no review and no preference.", "missing")
        return parse_review("", order or ORDERS[0], raw)
    teacher, student = score_of(given[0], "score_teacher"), score_of(given[1], "score_student")
    return Review("", order or NO_ORDER, raw or f"{teacher:g} {student:g}", teacher, student, raw)


def _order(fields: Fields) -> str:
    order = name_of(fields, "order")
    if order and order not in (*ORDERS, NO_ORDER):
        raise BadPair(f"The field order must be one of {', '.join((*ORDERS, NO_ORDER))}.")
    if order == NO_ORDER and fields.get("score_teacher") is None:
        raise BadPair("A review can be read only with its order: teacher_first or student_first.")
    return order


def _without_scores(raw: str, preference: float | None) -> Review:
    said = ""
    if preference is not None:
        leaning = LOSS if preference < TIE else WIN if preference > TIE else TIE
        sure = "" if preference in _SEEN else f" with probability {max(preference, 1 - preference):.2f}"
        said = f"{_SEEN[leaning]}{sure}."
    return Review("", NO_ORDER, raw or said, None, None, said)
