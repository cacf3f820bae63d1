"""Likelihood referee: how probable a response is under an open-weights teacher, given the instruction.

No order of responses, no reply to parse, no sampling. A response that loops is probable token by token, so what it
repeats of itself is charged for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch

from distill.records import Instruction, Pair, Review
from distill.templates import render_prompt
from distill.weights import LoadedModel

REPEAT_WORDS = 4
REPEAT_FREE_SHARE = 0.2
REPEAT_CHARGE = 4.0
_WORD = re.compile(r"[^\W\d_]+")
_LONGEST_MEAN_WORD = 12
_LOGIT_ROWS = 1024  # positions whose logits are held at once: 200 MB at a vocabulary of 50,000
_PAIRS_AT_ONCE = 64

Ids = list[int]


class LikelihoodReferee:
    """score = 1 + 9 exp(mean token log-probability - charge for repetition).

    An empty student response scores 1; where the teacher's is empty there is nothing to compare and the pair is unscored.
    """

    def __init__(self, loaded: LoadedModel, *, template: str = "auto", system_prompt: str = "") -> None:
        self.loaded, self.template, self.system_prompt = loaded, template, system_prompt

    def review(self, pairs: Iterable[Pair]) -> Iterator[Review]:
        """One review per pair, order "none"; pairs are read a few dozen at a time."""
        source = iter(pairs)
        while batch := list(islice(source, _PAIRS_AT_ONCE)):
            wanted = {(pair.instruction, text): None for pair in batch for text in _texts(pair)}
            scores = dict(zip(wanted, self.logprobs(list(wanted)), strict=True))
            for pair in batch:
                teacher, student = (scores[pair.instruction, text] for text in _texts(pair))
                yield _review(pair, teacher, student)

    def logprobs(self, responses: Sequence[tuple[Instruction, str]]) -> list[float | None]:
        """Mean token log-probability of each (instruction, response), uncharged; None for an empty response."""
        return mean_logprobs(self.loaded, [self._ids(instruction, text) for instruction, text in responses])

    def _ids(self, instruction: Instruction, text: str) -> tuple[Ids, Ids]:
        tokenizer = self.loaded.tokenizer
        prompt = render_prompt(tokenizer, instruction, self.template, self.system_prompt)
        return prompt, tokenizer(text, add_special_tokens=False)["input_ids"]


def mean_logprobs(loaded: LoadedModel, items: Sequence[tuple[Ids, Ids]]) -> list[float | None]:
    """Mean log-probability of the response tokens of each (prompt, response); None for an empty response.

    Items are computed in batches of like length; what does not fit into the model's context is cut off at the end of
    the response, and with a prompt that fills it the response counts as empty.
    """
    context = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None) or 2**31
    cut = [(prompt, response[: max(0, context - len(prompt))]) for prompt, response in items]
    results: list[float | None] = [None] * len(cut)
    order = sorted((i for i in range(len(cut)) if cut[i][1]), key=lambda i: len(cut[i][0]) + len(cut[i][1]))
    for batch in _batches(order, cut):
        for index, value in zip(batch, _batch_means(loaded.model, [cut[i] for i in batch]), strict=True):
            results[index] = value
    return results


def repetition_charge(text: str) -> float:
    """Log-probability taken off for the share of word 4-grams that the text has used before; 0 for normal prose.

    Numbers are no words: a list that says the same under each number loops. Where words are not parted by spaces
    (Chinese, one endless word), characters stand in for words.
    """
    words: Sequence[str] = _WORD.findall(text.lower())
    if sum(map(len, words)) > _LONGEST_MEAN_WORD * len(words):
        words = "".join(words)
    grams = [tuple(words[i : i + REPEAT_WORDS]) for i in range(len(words) - REPEAT_WORDS + 1)]
    repeated = 1 - len(set(grams)) / len(grams) if grams else 0.0
    return REPEAT_CHARGE * max(0.0, repeated - REPEAT_FREE_SHARE)


def score(logprob: float | None, charge: float = 0.0) -> float:
    """From 1 (impossible, or empty) to 10 (certain)."""
    return 1.0 if logprob is None else 1 + 9 * math.exp(min(0.0, logprob) - charge)


def _texts(pair: Pair) -> tuple[str, str]:
    return pair.teacher_response, pair.student_response


def _review(pair: Pair, teacher: float | None, student: float | None) -> Review:
    charges = [repetition_charge(text) for text in _texts(pair)]
    said = f"{_explain('Teacher', teacher, charges[0])} {_explain('Student', student, charges[1])}"
    scores = (None, None) if teacher is None else (score(teacher, charges[0]), score(student, charges[1]))
    return Review(pair.key, "none", said, scores[0], scores[1], said)


def _explain(name: str, logprob: float | None, charge: float) -> str:
    if logprob is None:
        return f"{name}: no text."
    repeats = f", less {charge:.2f} for repeating itself" if charge else ""
    return f"{name}: mean token log-probability {logprob:.3f}{repeats}."


def _batches(order: list[int], items: Sequence[tuple[Ids, Ids]]) -> Iterator[list[int]]:
    batch: list[int] = []
    for index in order:
        longest = max(len(items[i][1]) for i in [*batch, index]) + 1
        if batch and longest * (len(batch) + 1) > _LOGIT_ROWS:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def _batch_means(model: Any, items: Sequence[tuple[Ids, Ids]]) -> list[float]:
    """Rows are padded on the left, so that all responses end together and only their positions get logits."""
    width = max(len(prompt) + len(response) for prompt, response in items)
    kept = max(len(response) for _, response in items) + 1
    ids = torch.zeros((len(items), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (prompt, response) in enumerate(items):
        ids[row, width - len(prompt) - len(response) :] = torch.tensor(prompt + response)
        mask[row, width - len(prompt) - len(response) :] = 1
    with torch.inference_mode():
        logits = model(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            position_ids=(mask.cumsum(-1) - 1).clamp_min(0).to(model.device),
            use_cache=False,
            logits_to_keep=kept,
        ).logits
        return [_row_mean(logits[row], response) for row, (_, response) in enumerate(items)]


def _row_mean(logits: torch.Tensor, response: Ids) -> float:
    targets = torch.tensor(response, device=logits.device)
    return -torch.nn.functional.cross_entropy(logits[-len(response) - 1 : -1].float(), targets).item()
