"""The referee that scores each response by itself: one call a response, whatever it is compared with later.

A response's review has the order "alone" and stands in both places of a pair with itself; a pair's review, of the order
"single", puts those of its two responses together and costs nothing.
"""

from __future__ import annotations

import re

from distill import prompt_files
from distill.records import ChatRequest, Pair, Purpose, Review
from distill.reference_referee import NO_ANSWER, RESPONSE_FORMAT, explanation
from distill.rubric import own_rubric, rubric_text, with_built_in
from distill.settings import RefereeSettings
from distill.single_score_parser import parse_score

ALONE, TOGETHER = "alone", "single"
_TEMPLATES = (
    "single_system",
    "reference_format_text",
    "reference_format_json",
    "reference_reask_text",
    "reference_reask_json",
)
_MARKER = re.compile(r"\[((?:The (?:Start|End) of the Assistant's Answer|(?:End of )?Request))\]", re.I)


def single_request(
    key: str, pair: Pair, settings: RefereeSettings, *, structured: bool, attempt: int = 0
) -> ChatRequest:
    """`pair` is a response with itself."""
    user = prompt_files.fill(
        "single",
        question=_quoted(pair.instruction.prompt),
        answer=_quoted(pair.student_response) or NO_ANSWER,
        rubric=rubric_text(settings.rubric),
        format=prompt_files.layout("reference", structured=structured, attempt=attempt),
    )
    messages = ({"role": "system", "content": prompt_files.text("single_system")}, {"role": "user", "content": user})
    return ChatRequest(key, messages, settings.sampling, Purpose.REVIEW, RESPONSE_FORMAT if structured else None)


def parse_single_review(key: str, raw: str, *, cut: bool = False) -> Review:
    score = parse_score(raw, cut=cut)
    return Review(key, ALONE, raw, score, score, explanation(raw))


def put_together(key: str, teacher: Review, student: Review) -> Review:
    """From the reviews of a teacher's and of a student's response, both with scores."""
    raw = f"Teacher: {teacher.raw}\n\nStudent: {student.raw}"
    said = f"Teacher: {teacher.explanation}\n\nStudent: {student.explanation}"
    return Review(key, TOGETHER, raw, teacher.score_teacher, student.score_student, said)


def single_fingerprint(settings: RefereeSettings) -> str:
    version = prompt_files.version_of(with_built_in("single"), *map(prompt_files.text, _TEMPLATES))
    return settings.sampling.fingerprint(TOGETHER, settings.structured_output, version, *own_rubric(settings))


def _quoted(text: str) -> str:
    """Text that cannot end its own block: the markers of the template are defused."""
    return _MARKER.sub(r"(\1)", text).strip()
