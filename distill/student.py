"""The student as the loop sees it: instructions in, answers out, each as soon as it is finished."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import psutil
import torch

from distill.decoding import BatchDecoder, Row
from distill.records import Finish, Instruction
from distill.sampling import pick, uniforms
from distill.settings import StudentSettings
from distill.templates import end_token_ids, render_prompt
from distill.weights import LoadedModel

_MOST_CACHE_BYTES_ON_CPU = 2 * 2**30


@dataclass(frozen=True)
class StudentAnswer:
    """`completion_tokens` counts the end token too. A prompt that fills the model's context is answered by "", LENGTH."""

    key: str
    text: str
    finish: Finish
    completion_tokens: int
    prompt_tokens: int


class StudentEngine:
    """Answers are the same in any batch and after any restart: each is drawn from (seed, key) alone."""

    def __init__(
        self, loaded: LoadedModel, settings: StudentSettings, *, system_prompt: str = "", seed: int = 0
    ) -> None:
        self.tokenizer, self.settings = loaded.tokenizer, settings
        self.system_prompt, self.seed = system_prompt, seed
        self.context = context_length(loaded.model)
        self.ends = end_tokens(loaded, settings.template)
        samples = [self._prompt(Instruction("a")), self._prompt(Instruction("b"))]
        self.decoder = BatchDecoder(
            loaded.model,
            self.ends,
            batch_size=settings.batch_size,
            cache_bytes=cache_budget(loaded.model.device),
            prefix=os.path.commonprefix(samples),
        )

    def answer(self, items: Iterable[tuple[str, Instruction]]) -> Iterator[StudentAnswer]:
        """One answer per (key, instruction), streamed as rows finish, not in the order asked."""
        too_long: list[StudentAnswer] = []
        for row in self.decoder.run(self._rows(items, too_long), self._pick):
            yield self._answer(row)
            while too_long:
                yield too_long.pop()
        yield from too_long

    def _rows(self, items: Iterable[tuple[str, Instruction]], too_long: list[StudentAnswer]) -> Iterator[Row]:
        for key, instruction in items:
            prompt = self._prompt(instruction)
            budget = min(self.settings.max_new_tokens, self.context - len(prompt))
            if budget < 1:
                too_long.append(StudentAnswer(key, "", Finish.LENGTH, 0, len(prompt)))
                continue
            draws = uniforms(self.seed, key, budget) if self.settings.temperature else []
            yield Row(key, prompt, budget, draws)

    def _prompt(self, instruction: Instruction) -> list[int]:
        return render_prompt(self.tokenizer, instruction, self.settings.template, self.system_prompt)

    def _pick(self, logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
        draws = torch.tensor([row.draws[len(row.generated)] if row.draws else 0.0 for row in rows])
        return pick(logits, self.settings.temperature, self.settings.top_p, draws).tolist()

    def _answer(self, row: Row) -> StudentAnswer:
        text = self.tokenizer.decode(row.generated, skip_special_tokens=True).strip()
        whole = Finish.STOP if text else Finish.EMPTY
        finish = whole if row.generated[-1] in self.ends else Finish.LENGTH
        return StudentAnswer(row.key, text, finish, len(row.generated), len(row.prompt))


def end_tokens(loaded: LoadedModel, template: str) -> list[int]:
    """The template's end tokens, and those that the model's own generation settings name."""
    named: Any = getattr(loaded.model.generation_config, "eos_token_id", None)
    own = named if isinstance(named, list) else [named]
    return [*end_token_ids(loaded.tokenizer, template), *(token for token in own if token is not None)]


def context_length(model: Any) -> int:
    """Most tokens that a prompt and its answer may have together."""
    config = model.config.get_text_config()
    return getattr(config, "max_position_embeddings", None) or 2**31


def cache_budget(device: torch.device) -> int:
    """Bytes that keys and values may take: a share of the memory that is free now."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] * 7 // 10
    return min(_MOST_CACHE_BYTES_ON_CPU, psutil.virtual_memory().available // 4)
