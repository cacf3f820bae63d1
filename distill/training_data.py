"""From training rows to token sequences, and from sequences to batches of bounded size."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distill.errors import TrainingError
from distill.records import Instruction, TrainingExample
from distill.templates import end_token_ids, render_prompt


@dataclass(frozen=True)
class Encoded:
    """One sequence: the prompt's tokens, then the response's. Only tokens from `prompt_length` on carry loss."""

    ids: tuple[int, ...]
    prompt_length: int

    @property
    def response_tokens(self) -> int:
        return len(self.ids) - self.prompt_length


@dataclass
class EncodedSet:
    examples: list[Encoded] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)  # reason -> rows left out
    truncated: int = 0  # responses cut at max_length, and so left without an end token


def read_examples(path: Path) -> list[TrainingExample]:
    """Rows {"text", "input", "response", "complete"} of a JSONL file. TrainingError names the line that is not one."""
    examples = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                examples.append(_example(line, f"Line {number} of {path.name}"))
    return examples


def _example(line: str, place: str) -> TrainingExample:
    try:
        row = json.loads(line)
        return TrainingExample(
            Instruction(row["text"], row.get("input") or ""), row["response"], row.get("complete", True)
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{place} is not a training row: {error}.", "Each line is an object with text, input, response, complete."
        ) from error


def encode(
    examples: Iterable[TrainingExample],
    tokenizer: Any,
    *,
    template: str,
    system_prompt: str,
    max_length: int,
    keep_cut: bool,
) -> EncodedSet:
    """Prompt and response as tokens; the end token only behind a response that the teacher finished itself.

    Rows are skipped, and counted, when their response is empty ("empty_response"), was cut and cut ones are not
    wanted ("cut_response"), or has no room left by its prompt ("prompt_too_long").
    """
    end, result = end_token_ids(tokenizer, template)[0], EncodedSet()
    for one in examples:
        if not one.response.strip():
            result.skipped["empty_response"] += 1
        elif not one.complete and not keep_cut:
            result.skipped["cut_response"] += 1
        else:
            prompt = render_prompt(tokenizer, one.instruction, template, system_prompt)
            response = tokenizer(one.response, add_special_tokens=False)["input_ids"] + [end] * one.complete
            if len(prompt) >= max_length:
                result.skipped["prompt_too_long"] += 1
                continue
            result.truncated += len(prompt) + len(response) > max_length
            result.examples.append(Encoded(tuple((prompt + response)[:max_length]), len(prompt)))
    return result


def shared_prefix(examples: Sequence[Encoded]) -> int:
    """How many leading tokens all prompts have in common; each prompt keeps at least its last token to itself."""
    first, last = min(one.ids for one in examples), max(one.ids for one in examples)
    most = min(one.prompt_length for one in examples) - 1
    return next((at for at in range(most) if first[at] != last[at]), max(most, 0))


def epoch_batches(count: int, batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Indices of each global batch of one epoch, in an order that depends on seed and epoch alone."""
    order = list(range(count))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return [order[start : start + batch_size] for start in range(0, count, batch_size)]


def micro_batches(examples: Sequence[Encoded], budget: int) -> list[list[Encoded]]:
    """Groups of sequences of similar length with at most `budget` tokens each, or of one sequence that is longer."""
    groups: list[list[Encoded]] = []
    left = 0
    for one in sorted(examples, key=lambda example: (len(example.ids), example.ids)):
        if not groups or len(one.ids) > left:
            groups.append([])
            left = budget
        groups[-1].append(one)
        left -= len(one.ids)
    return groups
