"""Packs: several sequences in one row of tokens, without padding, a shared prompt prefix standing only once.

Linear layers see every token once; only attention needs to know where a sequence begins. The results are those of
the padded batch: the packed attention unfolds the row into one causal row per sequence and folds the answer back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from distill.training_data import Encoded, shared_prefix

PACKED_ATTENTION = "lionweb_packed"


@dataclass(frozen=True)
class Pack:
    """T packed tokens of B sequences of at most L tokens, N of which are response tokens.

    Attributes:
        input_ids, position_ids: [1, T].
        rows: [B, L], the packed place of each sequence's tokens; 0 where a sequence is shorter than L.
        slots: [T], the place in the flattened rows that answers for each packed token.
        prefix: the first so many packed tokens belong to every sequence.
        sources: [N], packed places whose hidden state predicts a response token.
        labels: [N], those response tokens.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    rows: torch.Tensor
    slots: torch.Tensor
    prefix: int
    sources: torch.Tensor
    labels: torch.Tensor

    @property
    def attention(self) -> dict[str, Any]:
        """What the packed attention reads from the model's keyword arguments."""
        return {"pack_rows": self.rows, "pack_slots": self.slots, "pack_prefix": self.prefix}


def pack(examples: Sequence[Encoded], device: torch.device | str = "cpu") -> Pack:
    prefix = shared_prefix(examples)
    length = max(len(one.ids) for one in examples)
    ids, positions = list(examples[0].ids[:prefix]), list(range(prefix))
    rows = torch.zeros(len(examples), length, dtype=torch.long)
    slots = list(range(prefix))
    sources: list[int] = []
    labels: list[int] = []
    for row, one in enumerate(examples):
        start = len(ids) - prefix  # so that packed place = start + position for every token behind the prefix
        rows[row, :prefix] = torch.arange(prefix)
        rows[row, prefix : len(one.ids)] = torch.arange(start + prefix, start + len(one.ids))
        slots.extend(range(row * length + prefix, row * length + len(one.ids)))
        sources.extend(range(start + one.prompt_length - 1, start + len(one.ids) - 1))
        labels.extend(one.ids[one.prompt_length :])
        ids.extend(one.ids[prefix:])
        positions.extend(range(prefix, len(one.ids)))
    return Pack(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        rows=rows.to(device),
        slots=torch.tensor(slots, device=device),
        prefix=prefix,
        sources=torch.tensor(sources, device=device),
        labels=torch.tensor(labels, device=device),
    )


class _Unfold(torch.autograd.Function):
    """[T, heads, d] -> [B, L, heads, d]. Gathering in the backward pass keeps it fast and deterministic."""

    @staticmethod
    def forward(ctx: Any, packed: torch.Tensor, rows: torch.Tensor, slots: torch.Tensor, prefix: int) -> torch.Tensor:
        ctx.save_for_backward(slots)
        ctx.prefix = prefix
        return packed[rows]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slots,) = ctx.saved_tensors
        folded = grads[0].flatten(0, 1)[slots]
        if ctx.prefix:
            folded[: ctx.prefix] = grads[0][:, : ctx.prefix].sum(0)
        return folded, None, None, None


class _Fold(torch.autograd.Function):
    """[B, L, heads, d] -> [T, heads, d]. What stands in padding is dropped, and gets no gradient."""

    @staticmethod
    def forward(ctx: Any, unfolded: torch.Tensor, slots: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(slots)
        ctx.shape = unfolded.shape
        return unfolded.flatten(0, 1)[slots]

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (slots,) = ctx.saved_tensors
        flat = grads[0].new_zeros(ctx.shape[0] * ctx.shape[1], *ctx.shape[2:])
        return flat.index_copy_(0, slots, grads[0]).view(ctx.shape), None


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    pack_rows: torch.Tensor,
    pack_slots: torch.Tensor,
    pack_prefix: int,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside each sequence. query, key, value: [1, heads, T, d]; returns [1, T, heads, d].

    Sequences stand left-aligned in their rows, so a causal mask alone keeps real tokens from seeing padding.
    """
    q, k, v = (
        _Unfold.apply(one[0].transpose(0, 1), pack_rows, pack_slots, pack_prefix).transpose(1, 2)
        for one in (query, key, value)
    )
    answer = scaled_dot_product_attention(
        q, k, v, dropout_p=dropout, scale=scaling, is_causal=True, enable_gqa=q.shape[1] != k.shape[1]
    )
    return _Fold.apply(answer.transpose(1, 2), pack_slots).unsqueeze(0), None


AttentionInterface.register(PACKED_ATTENTION, packed_attention)
