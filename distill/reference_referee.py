"""The reference-guided referee: the student's response is scored beside the teacher's, which is the reference.

After MT-Bench's reference-guided grading (Zheng et al. 2023). One call a pair and no order. The reference is the
yardstick, so the teacher's score is 10 by definition and the gap is what the student falls short by. A reference
without text measures nothing: it scores 1, and the student is scored by itself.
"""

from __future__ import annotations

import re
from typing import Any

from distill import prompt_files
from distill.records import ChatRequest, Pair, Purpose, Review
from distill.referee_parser import parse_explanation
from distill.rubric import own_rubric, rubric_text, with_built_in
from distill.settings import RefereeSettings
from distill.single_score_parser import parse_score

ORDER = "reference"
REFERENCE_SCORE, EMPTY_REFERENCE_SCORE = 10.0, 1.0
_TEMPLATES = (
    "reference_system",
    "reference_format_text",
    "reference_format_json",
    "reference_reask_text",
    "reference_reask_json",
)
_MARKER = re.compile(
    r"\[((?:The (?:Start|End) of (?:the Reference|the Assistant's Answer)|(?:End of )?Request))\]", re.I
)
_SCORE_LINE = re.compile(r"^\W*(?:Score of the Assistant\W*)?[\d.,]{1,5}(?:/10)?\W*$", re.I | re.M)
NO_ANSWER = "(The assistant gave no text.)"
_NO_REFERENCE = "(There is no reference for this request: judge the answer by itself.)"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"explanation": {"type": "string"}, "score": {"type": "number"}},
    "required": ["explanation", "score"],
    "additionalProperties": False,
}
RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "graded", "strict": True, "schema": _SCHEMA},
}


def reference_request(
    key: str, pair: Pair, settings: RefereeSettings, *, structured: bool, attempt: int = 0
) -> ChatRequest:
    user = prompt_files.fill(
        "reference",
        question=_quoted(pair.instruction.prompt),
        reference=_quoted(pair.teacher_response) or _NO_REFERENCE,
        answer=_quoted(pair.student_response) or NO_ANSWER,
        rubric=rubric_text(settings.rubric),
        format=prompt_files.layout("reference", structured=structured, attempt=attempt),
    )
    messages = (
        {"role": "system", "content": prompt_files.text("reference_system")},
        {"role": "user", "content": user},
    )
    return ChatRequest(key, messages, settings.sampling, Purpose.REVIEW, RESPONSE_FORMAT if structured else None)


def parse_reference_review(key: str, raw: str, reference: str, *, cut: bool = False) -> Review:
    """Read a reply to `reference_request`; `reference` is the text that the student was measured by."""
    student = parse_score(raw, cut=cut)
    teacher = REFERENCE_SCORE if reference.strip() else EMPTY_REFERENCE_SCORE
    return Review(key, ORDER, raw, None if student is None else teacher, student, explanation(raw))


def reference_fingerprint(settings: RefereeSettings) -> str:
    version = prompt_files.version_of(with_built_in("reference"), *map(prompt_files.text, _TEMPLATES))
    return settings.sampling.fingerprint(ORDER, settings.structured_output, version, *own_rubric(settings))


def explanation(raw: str) -> str:
    return _SCORE_LINE.sub("", parse_explanation(raw)).strip()


def _quoted(text: str) -> str:
    """Text that cannot end its own block: the markers of the template are defused."""
    return _MARKER.sub(r"(\1)", text).strip()
