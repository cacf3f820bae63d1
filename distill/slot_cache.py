"""A key-value cache whose rows come and go while the others go on.

All rows end at the same column and differ in where they start, so a new token is one slice write and the attended
width is the length of the longest row. When the columns run out, the window moves to fresh, wider buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

_GROWTH = 1.5
_SPARE_COLUMNS = 32


@dataclass
class Span:
    """What the layers share: rows in use, the columns [begin, end) that hold tokens, and the columns there are."""

    slots: int
    rows: int = 0
    begin: int = 0
    end: int = 0
    capacity: int = _SPARE_COLUMNS


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, [slots, heads, columns, head_dim] each."""

    is_sliding = False  # every column is kept; a sliding window is cut by the model's own mask

    def __init__(self, span: Span) -> None:
        super().__init__()
        self.span = span

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        self.keys, self.values = self._buffer(key_states), self._buffer(value_states)
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one column, [rows, heads, 1, head_dim], and return the columns of all rows in use."""
        keys, values = self.buffers(key_states, value_states)
        rows, begin, end = self.span.rows, self.span.begin, self.span.end
        keys[:rows, :, end : end + 1] = key_states
        values[:rows, :, end : end + 1] = value_states
        return keys[:rows, :, begin : end + 1], values[:rows, :, begin : end + 1]

    def buffers(self, key_states: torch.Tensor, value_states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        return self.keys, self.values

    def copy_row(self, source: int, target: int) -> None:
        columns = slice(self.span.begin, self.span.end)
        for buffer in (self.keys, self.values):
            if buffer is not None:
                buffer[target, :, columns] = buffer[source, :, columns]

    def move_window(self, columns: slice, to: int) -> None:
        """Copy the rows' columns to column `to` of new buffers as wide as the span says."""
        if self.keys is None or self.values is None:
            return
        width, rows = columns.stop - columns.start, self.span.rows
        old_keys, self.keys = self.keys, self._buffer(self.keys)
        self.keys[:rows, :, to : to + width] = old_keys[:rows, :, columns]
        del old_keys
        old_values, self.values = self.values, self._buffer(self.values)
        self.values[:rows, :, to : to + width] = old_values[:rows, :, columns]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self.span.end - self.span.begin

    def get_max_length(self) -> int:
        return -1

    def _buffer(self, like: torch.Tensor) -> torch.Tensor:
        heads, dim = like.shape[1], like.shape[-1]
        return like.new_zeros((self.span.slots, heads, self.span.capacity, dim))


class SlotCache(Cache):
    def __init__(self, slots: int) -> None:
        self.span = Span(slots)
        new_layer = cast("type[CacheLayerMixin]", lambda: SlotLayer(self.span))
        super().__init__(layer_class_to_replicate=new_layer)

    def make_room(self, columns: int) -> int:
        """Let the window end at column `columns` or later, with space behind it. Returns how far the rows moved."""
        span = self.span
        if columns <= span.end < span.capacity:
            return 0
        window = slice(span.begin, span.end)
        width = window.stop - window.start
        end = max(width, columns)
        span.capacity = int(end * _GROWTH) + _SPARE_COLUMNS
        for layer in self._slot_layers():
            layer.move_window(window, end - width)
        span.begin, span.end = end - width, end
        return span.end - window.stop

    def append_rows(self, prefilled: DynamicCache, lengths: Sequence[int]) -> None:
        """Take in the rows of a forward over right-padded prompts, `lengths` tokens each. Needs room for the longest."""
        span, longest = self.span, max(lengths)
        rows = slice(span.rows, span.rows + len(lengths))
        for index, (keys, values) in enumerate(key_values(prefilled) if longest else ()):
            if index == len(self.layers):
                self.layers.append(SlotLayer(span))
            buffers = self._slot_layers()[index].buffers(keys, values)
            for buffer, states in zip(buffers, (keys, values), strict=True):
                buffer[rows, :, span.end - longest : span.end] = _right_aligned(states, lengths, longest)
        span.rows = rows.stop

    def drop_row(self, row: int) -> None:
        """Free a row; the last one takes its place."""
        last = self.span.rows - 1
        if row != last:
            for layer in self._slot_layers():
                layer.copy_row(last, row)
        self.span.rows = last

    def _slot_layers(self) -> list[SlotLayer]:
        return cast("list[SlotLayer]", self.layers)


def key_values(cache: DynamicCache) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Keys and values of each layer, [rows, heads, tokens, head_dim]."""
    return [(cast(Any, layer).keys, cast(Any, layer).values) for layer in cache.layers]


def _right_aligned(states: torch.Tensor, lengths: Sequence[int], longest: int) -> torch.Tensor:
    """[rows, heads, longest, dim] whose rows end together; what stands before a row's start is never attended to."""
    if min(lengths) == longest:
        return states[:, :, :longest]
    columns = torch.arange(longest, device=states.device)
    shifts = longest - torch.tensor(lengths, device=states.device)
    index = (columns[None] - shifts[:, None]).clamp_min(0)[:, None, :, None]
    return states.gather(2, index.expand(-1, states.shape[1], -1, states.shape[3]))
