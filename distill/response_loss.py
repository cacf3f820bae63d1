"""Cross-entropy of response tokens only.

Prompt tokens carry no loss, so no logits are computed for them; the others are scored chunk by chunk, and each
chunk's gradient is taken at once, so that the logits of a whole batch never stand in memory together.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from peft import PeftModel

from distill.packing import PACKED_ATTENTION, pack
from distill.training_data import Encoded

CHUNK = 128  # response tokens scored at once: 25 MB of fp32 logits for a vocabulary of 49,152


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Sum over tokens of -log softmax(hidden W')[label]. hidden: [N, d], weight: [vocabulary, d], labels: [N]."""

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        wanted = ctx.needs_input_grad
        total = hidden.new_zeros((), dtype=torch.float32)
        grad_hidden = torch.empty_like(hidden) if wanted[0] else None
        grad_weight = torch.zeros_like(weight) if wanted[1] else None
        low = weight.to(hidden.dtype)
        for start in range(0, len(labels), CHUNK):
            part, gold = hidden[start : start + CHUNK], labels[start : start + CHUNK, None]
            scores = torch.log_softmax((part @ low.T).float(), dim=-1)
            total -= scores.gather(1, gold).sum()
            if grad_hidden is None:
                continue
            slope = scores.exp_().scatter_add_(1, gold, scores.new_full(gold.shape, -1.0)).to(hidden.dtype)
            torch.mm(slope, low, out=grad_hidden[start : start + CHUNK])
            if grad_weight is not None:
                grad_weight += slope.T @ part
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return (
            None if grad_hidden is None else grad_hidden * grads[0].to(grad_hidden.dtype),
            None if grad_weight is None else grad_weight * grads[0].to(grad_weight.dtype),
            None,
        )


def chunked_cross_entropy(hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The summed cross-entropy of `labels`, in fp32."""
    return _ChunkedCrossEntropy.apply(hidden, weight, labels)


class ResponseLoss:
    """Summed response loss of a few sequences under a causal model, packed where the model allows it."""

    def __init__(self, model: Any, *, autocast: bool = False) -> None:
        self.model = model
        self.causal: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        self.autocast, self.packed = autocast, False

    def __call__(self, examples: Sequence[Encoded]) -> torch.Tensor:
        device = self.causal.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.autocast):
            return self._packed(examples) if self.packed else self._plain(examples)

    def pack_if_equal(self, examples: Sequence[Encoded], tolerance: float) -> bool:
        """Compute packed from now on if that gives the plain loss on these sequences; returns whether it does.

        Models that bring their own attention, windows or scaled logits differ, and stay plain.
        """
        usual = self.causal.config._attn_implementation
        training = self.causal.training
        self.model.eval()
        with torch.no_grad():
            plain = self(examples).item()
            try:
                self.causal.set_attn_implementation(PACKED_ATTENTION)
                self.packed = True
                self.packed = abs(self(examples).item() - plain) <= tolerance * abs(plain)
            except (TypeError, ValueError, AttributeError, NotImplementedError) as error:
                print(f"Packing is not possible with this model: {error}", file=sys.stderr)
                self.packed = False
        if not self.packed:
            self.causal.set_attn_implementation(usual)
        self.model.train(training)
        return self.packed

    def _packed(self, examples: Sequence[Encoded]) -> torch.Tensor:
        one = pack(examples, self.causal.device)
        hidden = self.causal.base_model(
            input_ids=one.input_ids, position_ids=one.position_ids, use_cache=False, **one.attention
        ).last_hidden_state
        head = self.causal.get_output_embeddings().weight
        return chunked_cross_entropy(hidden[0].index_select(0, one.sources), head, one.labels)

    def _plain(self, examples: Sequence[Encoded]) -> torch.Tensor:
        """The model's own forward on right-padded rows."""
        length = max(len(one.ids) for one in examples)
        ids = torch.zeros(len(examples), length, dtype=torch.long)
        mask, carries_loss = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
        for row, one in enumerate(examples):
            ids[row, : len(one.ids)] = torch.tensor(one.ids)
            mask[row, : len(one.ids)] = 1
            carries_loss[row, one.prompt_length : len(one.ids)] = True
        device = self.causal.device
        ids, carries_loss = ids.to(device), carries_loss[:, 1:].to(device)
        logits = self.causal(input_ids=ids, attention_mask=mask.to(device), use_cache=False).logits[:, :-1]
        return torch.nn.functional.cross_entropy(
            logits[carries_loss].float(), ids[:, 1:][carries_loss], reduction="sum"
        )
