"""Continuous batching for any causal language model of transformers: a finished row is replaced at once.

A prompt's last token is not prefilled but is the row's first decoding step, so that prefilling needs no logits. The
head that all prompts share (the chat template's system message) is computed once.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from distill.errors import ModelLoadError
from distill.fused_llama import FusedLlama, can_fuse
from distill.slot_cache import SlotCache, key_values

_PREFILL_TOKENS = 4096
_LOOKAHEAD = 8  # batches of prompts that are read ahead and sorted by length
_ADMIT_SHARE = 16  # new rows wait until a sixteenth of the batch is free: prefilling single rows is slow
_CACHE_SLACK = 1.6  # a cache is at most this much wider than its longest row


@dataclass
class Row:
    """One sequence. `budget`: most tokens to generate, at least 1. `draws`: random numbers, one per token, or none."""

    key: str
    prompt: list[int]
    budget: int
    draws: list[float] = field(default_factory=list)
    generated: list[int] = field(default_factory=list)
    start: int = 0  # its first column in the cache

    @property
    def last_token(self) -> int:
        return self.generated[-1] if self.generated else self.prompt[-1]

    @property
    def position(self) -> int:
        return len(self.prompt) + len(self.generated) - 1

    @property
    def longest(self) -> int:
        return len(self.prompt) + self.budget


Pick = Callable[[torch.Tensor, Sequence[Row]], list[int]]


class BatchDecoder:
    """Decodes rows until an end token or their budget; yields each as it finishes, its end token included.

    batch_size: most rows at once; fewer where `cache_bytes` would not hold their longest possible length.
    prefix: tokens that most prompts begin with.
    """

    def __init__(
        self, model: Any, ends: Iterable[int], *, batch_size: int, cache_bytes: int, prefix: Sequence[int] = ()
    ) -> None:
        self.model, self.ends, self.batch_size = model, frozenset(ends), batch_size
        self.cache_bytes, self.prefix = cache_bytes, list(prefix)
        accepted = inspect.signature(model.forward).parameters
        self.takes_positions = "position_ids" in accepted
        self.step_options = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self.fused = FusedLlama(model) if can_fuse(model) else None
        with torch.inference_mode():
            probe = self._forward_base(torch.tensor([self.prefix or [0]]), DynamicCache())
        self.bytes_per_token = _bytes_per_token(probe)
        self.prefix_cache = probe if self.prefix else None

    def run(self, rows: Iterable[Row], pick: Pick) -> Iterator[Row]:
        source, waiting, active = iter(rows), deque[Row](), list[Row]()
        cache = SlotCache(self.batch_size)
        while True:
            self._read_ahead(source, waiting)
            if not active and not waiting:
                return
            with torch.inference_mode():
                self._admit(cache, waiting, active)
                chosen = pick(self._step(cache, active), active)
                finished = self._settle(cache, active, chosen)
            yield from finished

    def _read_ahead(self, source: Iterator[Row], waiting: deque[Row]) -> None:
        """Longest first: the batch is widest at its start, and rows of like length are prefilled together."""
        if len(waiting) >= self.batch_size:
            return
        waiting.extend(islice(source, _LOOKAHEAD * self.batch_size - len(waiting)))
        ordered = sorted(waiting, key=lambda row: len(row.prompt), reverse=True)
        waiting.clear()
        waiting.extend(ordered)

    def _admit(self, cache: SlotCache, waiting: deque[Row], active: list[Row]) -> None:
        enough = max(1, self.batch_size // _ADMIT_SHARE)
        new = self._that_fit(waiting, active)
        if active and len(new) < min(enough, len(waiting)):
            return
        for group in _groups([waiting.popleft() for _ in new]):
            self._move(cache, active, max(len(row.prompt) - 1 for row in group))
            self._prefill(cache, group)
            for row in group:
                row.start = cache.span.end - (len(row.prompt) - 1)
            active.extend(group)
        cache.span.begin = min(row.start for row in active)

    def _that_fit(self, waiting: deque[Row], active: list[Row]) -> list[Row]:
        longest, chosen = max((row.longest for row in active), default=0), list[Row]()
        for row in islice(waiting, self.batch_size - len(active)):
            longest = max(longest, row.longest)
            rows = len(active) + len(chosen) + 1
            if rows > 1 and rows * longest * self.bytes_per_token * _CACHE_SLACK > self.cache_bytes:
                break
            chosen.append(row)
        return chosen

    def _move(self, cache: SlotCache, active: list[Row], columns: int) -> None:
        moved = cache.make_room(columns)
        for row in active:
            row.start += moved

    def _prefill(self, cache: SlotCache, group: list[Row]) -> None:
        """Compute keys and values of all but the last token of each prompt, and append them to the cache."""
        head = len(self.prefix) if all(self._shares_prefix(row) for row in group) else 0
        tails = [row.prompt[head:-1] for row in group]
        width = max(map(len, tails))
        prefilled = self._prefix_rows(len(group)) if head else DynamicCache()
        if width:
            padded = torch.tensor([tail + [0] * (width - len(tail)) for tail in tails])
            self._forward_base(padded, prefilled)
        cache.append_rows(prefilled, [head + len(tail) for tail in tails])

    def _shares_prefix(self, row: Row) -> bool:
        return len(row.prompt) > len(self.prefix) and row.prompt[: len(self.prefix)] == self.prefix

    def _prefix_rows(self, rows: int) -> DynamicCache:
        assert self.prefix_cache is not None
        copy = DynamicCache()
        for index, (keys, values) in enumerate(key_values(self.prefix_cache)):
            copy.update(keys.expand(rows, -1, -1, -1), values.expand(rows, -1, -1, -1), index)
        return copy

    def _forward_base(self, ids: torch.Tensor, cache: DynamicCache) -> DynamicCache:
        """Right-padded prompts need no mask: nothing before the padding can see it."""
        start = cache.get_seq_length()
        options: dict[str, Any] = {}
        if self.takes_positions:
            options["position_ids"] = torch.arange(start, start + ids.shape[1], device=self.model.device)[None]
        self.model.base_model(ids.to(self.model.device), past_key_values=cache, use_cache=True, **options)
        return cache

    def _step(self, cache: SlotCache, active: list[Row]) -> torch.Tensor:
        """Logits [rows, vocabulary] after each row's last token."""
        self._move(cache, active, 0)
        span, device = cache.span, self.model.device
        starts = torch.tensor([row.start for row in active], device=device)
        tokens = torch.tensor([[row.last_token] for row in active], device=device)
        positions = torch.tensor([[row.position] for row in active], device=device)
        visible = torch.arange(span.begin, span.end + 1, device=device)[None] >= starts[:, None]
        step = self.fused.step if self.fused else self._library_step
        logits = step(tokens, positions, visible, cache)
        span.end += 1
        return logits

    def _library_step(
        self, tokens: torch.Tensor, positions: torch.Tensor, visible: torch.Tensor, cache: SlotCache
    ) -> torch.Tensor:
        options: dict[str, Any] = dict(self.step_options)
        if self.takes_positions:
            options["position_ids"] = positions
        mask = visible.long()
        output = self.model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, **options)
        return output.logits[:, -1]

    def _settle(self, cache: SlotCache, active: list[Row], chosen: list[int]) -> list[Row]:
        """Give each row its token; take out and return the rows that are finished."""
        finished = []
        for index in range(len(active) - 1, -1, -1):
            row = active[index]
            row.generated.append(chosen[index])
            if chosen[index] in self.ends or len(row.generated) >= row.budget:
                finished.append(row)
                cache.drop_row(index)
                active[index] = active[-1]
                active.pop()
        if finished and active:
            cache.span.begin = min(row.start for row in active)
        return finished


def _groups(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows to be prefilled together, bounded by their padded size."""
    group: list[Row] = []
    for row in rows:
        widest = max(len(one.prompt) for one in [*group, row])
        if group and widest * (len(group) + 1) > _PREFILL_TOKENS:
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _bytes_per_token(cache: DynamicCache) -> int:
    """What one token takes in the cache, over all layers. ModelLoadError: the model keeps another kind of state."""
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        raise ModelLoadError(
            "This model does not keep keys and values per token (it is recurrent or a hybrid).",
            "Choose a base model with attention in every layer, such as Llama or Qwen.",
        )
    return sum(states[0, :, 0].numel() * states.element_size() for pair in key_values(cache) for states in pair)
