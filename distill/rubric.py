"""What a referee is told to weigh: the built-in paragraph, or one of the researcher's own. A rubric is known by its version."""

from __future__ import annotations

import hashlib

from distill import prompt_files
from distill.settings import RefereeSettings


def rubric_text(rubric: str) -> str:
    """The words that stand in the prompt; an empty rubric is the built-in one."""
    return rubric.replace("\r\n", "\n").strip() or prompt_files.text("referee_rubric")


def rubric_version(rubric: str) -> str:
    """First 8 hex digits of the hash of its words."""
    return hashlib.sha256(rubric_text(rubric).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def own_rubric(settings: RefereeSettings) -> tuple[str, ...]:
    """What a rubric adds to the referee's fingerprint; nothing for the built-in one, whose words are the template's."""
    is_own = rubric_text(settings.rubric) != rubric_text("")
    return (rubric_version(settings.rubric),) if is_own else ()


def with_built_in(template: str) -> str:
    """The template as it reads with the built-in rubric: reviews asked for before rubrics could be changed keep their names."""
    return prompt_files.text(template).replace("$rubric", rubric_text(""))
