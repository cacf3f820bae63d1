"""The likelihood referee: how likely each response is under local open weights. No order, no parsing, deterministic."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from distill.records import Instruction, Pair, Review
from distill.templates import render_prompt
from distill.weights import LoadedModel

NGRAM = 4
"""A token that ends a 4-gram which the response held before is predicted by copying: it says nothing of quality."""
BATCH_TOKENS = 4096
POSITIONS_AT_ONCE = 512


@dataclass(frozen=True)
class Likelihood:
    """mean_logprob: nats per token over the fresh tokens; fresh: share of tokens that repeat no earlier 4-gram."""

    mean_logprob: float
    fresh: float

    @property
    def score(self) -> float:
        """1 to 10. Looping text has few fresh tokens and so a low score, however likely each repetition is."""
        return 1 + 9 * math.exp(self.mean_logprob) * self.fresh


def fresh_tokens(ids: Sequence[int]) -> list[bool]:
    """For each token whether the 4-gram that ends in it is new in this response; the first three always are."""
    seen: set[tuple[int, ...]] = set()
    fresh = []
    for end in range(1, len(ids) + 1):
        gram = tuple(ids[max(0, end - NGRAM) : end])
        fresh.append(len(gram) < NGRAM or gram not in seen)
        seen.add(gram)
    return fresh


class LikelihoodReferee:
    def __init__(self, loaded: LoadedModel, *, template: str = "auto", system_prompt: str = "") -> None:
        self.model, self.tokenizer = loaded.model, loaded.tokenizer
        self.template, self.system_prompt = template, system_prompt

    def review(self, pairs: Iterable[Pair]) -> Iterator[Review]:
        """One review a pair, in order. An empty response makes a pair unscored. Equal responses are scored once."""
        pairs = list(pairs)
        wanted = {(p.instruction, text) for p in pairs for text in (p.teacher_response, p.student_response)}
        scores = self.score(sorted(wanted, key=lambda one: (one[0].content_hash, one[1])))
        for pair in pairs:
            teacher = scores.get((pair.instruction, pair.teacher_response))
            student = scores.get((pair.instruction, pair.student_response))
            yield _review(pair, teacher, student)

    @torch.inference_mode()
    def score(self, wanted: Sequence[tuple[Instruction, str]]) -> dict[tuple[Instruction, str], Likelihood]:
        """Likelihood by (instruction, response); empty responses are left out."""
        rows = []
        for instruction, text in wanted:
            response = self.tokenizer(text, add_special_tokens=False)["input_ids"]
            if response:
                prompt = render_prompt(self.tokenizer, instruction, self.template, self.system_prompt)
                rows.append(((instruction, text), prompt, response))
        rows.sort(key=lambda row: -(len(row[1]) + len(row[2])))
        found = {}
        for batch in _by_tokens(rows):
            logprobs = self._logprobs([(prompt, response) for _, prompt, response in batch])
            for (name, _, response), values in zip(batch, logprobs, strict=True):
                found[name] = _likelihood(response, values)
        return found

    def _logprobs(self, batch: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        """Log-probability of every response token. Logits are made at response positions only, a few at a time."""
        longest = max(len(p) + len(r) for p, r in batch)
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for at, (prompt, response) in enumerate(batch):
            row = prompt + response
            ids[at, : len(row)] = torch.tensor(row)
            mask[at, : len(row)] = 1
        device = self.model.device
        inner = self.model.get_decoder()
        hidden = inner(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False).last_hidden_state
        result = []
        for at, (prompt, response) in enumerate(batch):
            states = hidden[at, len(prompt) - 1 : len(prompt) + len(response) - 1]
            result.append(self._picked(states, torch.tensor(response, device=device)))
        return result

    def _picked(self, states: torch.Tensor, targets: torch.Tensor) -> list[float]:
        head = self.model.get_output_embeddings()
        values: list[float] = []
        for start in range(0, len(targets), POSITIONS_AT_ONCE):
            logits = head(states[start : start + POSITIONS_AT_ONCE]).float()
            part = torch.log_softmax(logits, dim=-1)
            values += part.gather(1, targets[start : start + POSITIONS_AT_ONCE, None])[:, 0].tolist()
        return values


def _by_tokens(rows: Sequence[tuple]) -> Iterator[list[tuple]]:
    """Batches of rows, longest first, each of at most BATCH_TOKENS tokens with its padding."""
    batch: list[tuple] = []
    for row in rows:
        longest = len((batch or [row])[0][1]) + len((batch or [row])[0][2])
        if batch and longest * (len(batch) + 1) > BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _likelihood(ids: Sequence[int], logprobs: Sequence[float]) -> Likelihood:
    fresh = fresh_tokens(ids)
    kept = [value for value, is_fresh in zip(logprobs, fresh, strict=True) if is_fresh]
    return Likelihood(sum(kept) / len(kept), len(kept) / len(ids))


def _review(pair: Pair, teacher: Likelihood | None, student: Likelihood | None) -> Review:
    if teacher is None or student is None:
        return Review(pair.key, "none", "", None, None, "A response is empty.")
    said = (
        f"Mean log-probability per token: teacher {teacher.mean_logprob:.3f}, student {student.mean_logprob:.3f}. "
        f"Share of tokens that repeat nothing: teacher {teacher.fresh:.2f}, student {student.fresh:.2f}."
    )
    return Review(pair.key, "none", said, round(teacher.score, 4), round(student.score, 4), said)
