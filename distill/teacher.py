"""The answer task: an instruction, asked as it stands."""

from __future__ import annotations

from distill.records import ChatRequest, Instruction, Message, Purpose
from distill.settings import TeacherSettings

PROMPT_VERSION = "instruction, blank line, input"
"""What `Instruction.prompt` looks like; part of the fingerprint, so that another layout is another answer."""


def answer_request(key: str, instruction: Instruction, settings: TeacherSettings) -> ChatRequest:
    user: Message = {"role": "user", "content": instruction.prompt}
    system: Message = {"role": "system", "content": settings.system_prompt}
    messages = (system, user) if settings.system_prompt else (user,)
    return ChatRequest(key, messages, settings.sampling, Purpose.ANSWER)


def answer_fingerprint(settings: TeacherSettings) -> str:
    """Equal for two answers exactly if they were asked for in the same words and drawn in the same way."""
    return settings.sampling.fingerprint(settings.system_prompt, PROMPT_VERSION)
