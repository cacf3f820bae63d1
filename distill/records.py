"""The values that cross the engine's borders. All frozen, all JSON-able by `dataclasses.asdict`."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any

Message = dict[str, str]
"""One chat message: {"role": "system" | "user" | "assistant", "content": text}."""


class Verdict(StrEnum):
    HARD = "hard"
    EASY = "easy"
    UNSCORED = "unscored"


class Difficulty(StrEnum):
    """Which seed set a generated instruction comes from, and so which prompt wrote it."""

    HARD = "hard"
    EASY = "easy"


class Purpose(StrEnum):
    """What a model call was paid for."""

    ANSWER = "answer"
    REVIEW = "review"
    GENERATE = "generate"
    CHECK = "check"


class Finish(StrEnum):
    """Why a response ended. Only STOP is complete; EMPTY is a complete reply without text."""

    STOP = "stop"
    LENGTH = "length"  # cut at the token limit
    TRUNCATED = "truncated"  # the body broke off on its way; the text up to there was kept
    EMPTY = "empty"
    FILTERED = "content_filter"


@dataclass(frozen=True)
class Instruction:
    text: str
    input: str = ""
    language: str = ""
    category: str = ""

    @cached_property
    def content_hash(self) -> str:
        """64 hex digits over text and input: equal instructions have equal hashes everywhere."""
        return hashlib.sha256(f"{self.text}\x1f{self.input}".encode("utf-8", "surrogatepass")).hexdigest()

    @property
    def prompt(self) -> str:
        """Text and input as one user message."""
        return f"{self.text}\n\n{self.input}" if self.input else self.text


@dataclass(frozen=True)
class Sampling:
    """How a reply is drawn. `temperature` 0 means greedy."""

    temperature: float = 0.7
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None

    def fingerprint(self, *extra: str) -> str:
        """16 hex digits that change with any of the settings, or with `extra` (system prompt, template)."""
        body = json.dumps([self.temperature, self.top_p, self.max_tokens, self.seed, *extra])
        return hashlib.sha256(body.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ChatRequest:
    """One prompt to one model. `key` is the caller's name for it and comes back with the outcome."""

    key: str
    messages: tuple[Message, ...]
    sampling: Sampling
    purpose: Purpose
    response_format: dict[str, Any] | None = None


@dataclass(frozen=True)
class Call:
    """One HTTP request that was sent, for the ledger. `paid` is our best knowledge of the bill."""

    outcome: str  # ok, length, truncated, empty, rate_limited, server_error, timeout, cut_off, refused
    latency_seconds: float
    paid: bool
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(frozen=True)
class Completion:
    text: str
    finish: Finish
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    model: str = ""


@dataclass(frozen=True)
class CallOutcome:
    """What came of one ChatRequest: a completion, or an error with nothing invented. Never both, never neither."""

    key: str
    completion: Completion | None
    error: Exception | None
    calls: tuple[Call, ...] = field(default=())


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible endpoint with its limits and prices. The key never appears in repr or logs."""

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    max_concurrency: int = 64
    requests_per_minute: int = 0  # 0: no known limit
    tokens_per_minute: int = 0
    input_usd_per_million: float = 0.0
    output_usd_per_million: float = 0.0

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        return (prompt_tokens * self.input_usd_per_million + completion_tokens * self.output_usd_per_million) / 1e6


@dataclass(frozen=True)
class TrainingExample:
    """One row of the training file. `complete` false: the response was cut, so no EOS is appended."""

    instruction: Instruction
    response: str
    complete: bool = True


@dataclass(frozen=True)
class Pair:
    """A teacher and a student response to one instruction, to be scored."""

    key: str
    instruction: Instruction
    teacher_response: str
    student_response: str


@dataclass(frozen=True)
class Review:
    """One referee reply for one order of one pair. Scores are both numbers in [1, 10], or both None.

    order: "teacher_first" or "student_first"; "none" for modes that have no order.
    """

    key: str
    order: str
    raw: str
    score_teacher: float | None
    score_student: float | None
    explanation: str = ""


@dataclass(frozen=True)
class Candidate:
    """One text the generator wrote, and what the filters and the novelty index said of it."""

    key: str
    difficulty: Difficulty
    parent: Instruction
    raw: str
    instruction: Instruction | None  # None: no usable text could be read from the reply
    rejected: str = ""  # "": accepted; else the reason's machine name, e.g. "near_duplicate"
    rouge_l: float = 0.0  # of the nearest known instruction
    nearest: str = ""
