"""The pairwise referee: one pair, read in both orders by the referee model."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from distill import prompt_files
from distill.records import ChatRequest, Pair, Purpose, Review
from distill.referee_parser import parse_explanation, parse_scores
from distill.rubric import own_rubric, rubric_text, with_built_in
from distill.settings import RefereeSettings

_T = TypeVar("_T")

ORDERS = ("teacher_first", "student_first")

_TEMPLATES = (
    "referee_system",
    "referee",
    "referee_format_text",
    "referee_format_json",
    "referee_reask_text",
    "referee_reask_json",
)
_MARKER = re.compile(r"\[((?:The (?:Start|End) of Assistant [12]'s Answer|(?:End of )?Request))\]", re.I)
_NO_ANSWER = "(The assistant gave no text.)"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "explanation": {"type": "string"},
        "assistant_1": {"type": "number"},
        "assistant_2": {"type": "number"},
    },
    "required": ["explanation", "assistant_1", "assistant_2"],
    "additionalProperties": False,
}
RESPONSE_FORMAT: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "review", "strict": True, "schema": _SCHEMA},
}


def review_request(
    key: str, pair: Pair, order: str, settings: RefereeSettings, *, structured: bool, attempt: int = 0
) -> ChatRequest:
    """Ask for one review. A later `attempt` words the format more firmly, so that a greedy model can reply anew."""
    first, second = _in_order(order, pair.teacher_response, pair.student_response)
    user = prompt_files.fill(
        "referee",
        question=_quoted(pair.instruction.prompt),
        answer_1=_quoted(first) or _NO_ANSWER,
        answer_2=_quoted(second) or _NO_ANSWER,
        rubric=rubric_text(settings.rubric),
        format=prompt_files.layout("referee", structured=structured, attempt=attempt),
    )
    messages = (
        {"role": "system", "content": prompt_files.text("referee_system")},
        {"role": "user", "content": user},
    )
    return ChatRequest(key, messages, settings.sampling, Purpose.REVIEW, RESPONSE_FORMAT if structured else None)


def parse_review(key: str, order: str, raw: str, *, cut: bool = False) -> Review:
    """Read a reply to `review_request`. cut: it ended at the token limit, so a number at its very end is not trusted."""
    scores = parse_scores(raw, cut=cut)
    teacher, student = _in_order(order, *scores) if scores else (None, None)
    return Review(key, order, raw, teacher, student, parse_explanation(raw))


def referee_fingerprint(settings: RefereeSettings) -> str:
    """Equal for two reviews exactly if they were asked for in the same words and drawn in the same way."""
    texts = [with_built_in(name) if name == "referee" else prompt_files.text(name) for name in _TEMPLATES]
    version = prompt_files.version_of(*texts)
    return settings.sampling.fingerprint("pairwise", settings.structured_output, version, *own_rubric(settings))


def _in_order(order: str, teacher: _T, student: _T) -> tuple[_T, _T]:
    """Its own inverse: from (teacher, student) to (first, second) and back."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {ORDERS}, not {order!r}")
    return (teacher, student) if order == ORDERS[0] else (student, teacher)


def _quoted(text: str) -> str:
    """Text that cannot end its own block: the markers of the template are defused."""
    return _MARKER.sub(r"(\1)", text).strip()
