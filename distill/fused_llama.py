"""One decoding step of Llama-like models on a CPU, in fewer and larger operations than the library's.

On a CPU with few cores the many small operations between the matrix products cost as much as the attention. Here query,
key and value are one product, gate and up another, residuals are added inside the products, and attention runs on the
grouped heads without repeating keys. Results equal the library's up to rounding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from distill.slot_cache import SlotCache


def can_fuse(model: Any) -> bool:
    """Plain Llama: no biases, SiLU, full precision, on the CPU."""
    config = model.config
    return (
        type(model).__name__ == "LlamaForCausalLM"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
        and model.dtype == torch.float32
        and model.device.type == "cpu"
    )


class FusedLlama:
    """Weights are merged in place: the model's own projections become views of the merged ones, at no extra memory."""

    def __init__(self, model: Any) -> None:
        config, self.model = model.config, model
        self.head_dim: int = model.model.layers[0].self_attn.head_dim
        self.key_heads: int = config.num_key_value_heads
        self.heads: int = config.num_attention_heads
        self.layers = [_FusedLayer(layer) for layer in model.model.layers]

    def step(
        self, tokens: torch.Tensor, positions: torch.Tensor, visible: torch.Tensor, cache: SlotCache
    ) -> torch.Tensor:
        """Logits [rows, vocabulary]. tokens, positions: [rows, 1]; visible: [rows, columns], the new column included."""
        inner = self.model.model
        hidden = inner.embed_tokens(tokens[:, 0])
        cos, sin = inner.rotary_emb(hidden, positions)
        half = self.head_dim // 2
        sin = torch.cat((-sin[..., :half], sin[..., half:]), dim=-1)
        bias = torch.zeros(visible.shape).masked_fill_(~visible, -torch.inf)[:, None, None]
        for index, layer in enumerate(self.layers):
            hidden = self._layer(layer, index, hidden, (cos, sin), bias, cache)
        # MKL multiplies the tall matrix with the narrow one a third faster than the other way round
        return (self.model.lm_head.weight @ _norm(inner.norm, hidden).t()).t()

    def _layer(
        self,
        layer: _FusedLayer,
        index: int,
        hidden: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor],
        bias: torch.Tensor,
        cache: SlotCache,
    ) -> torch.Tensor:
        rows, (cos, sin) = len(hidden), rotation
        states = functional.linear(_norm(layer.attention_norm, hidden), layer.query_key_value)
        heads = states.view(rows, self.heads + 2 * self.key_heads, self.head_dim)
        turned = heads[:, : -self.key_heads]
        turned = torch.addcmul(turned * cos, turned.roll(self.head_dim // 2, -1), sin)
        query = turned[:, : self.heads].reshape(rows, self.key_heads, -1, self.head_dim) * self.head_dim**-0.5
        keys, values = cache.update(turned[:, self.heads :, None], heads[:, -self.key_heads :, None], index)
        weights = torch.matmul(query, keys.transpose(2, 3)).add_(bias).softmax(-1)
        mixed = torch.matmul(weights, values).view(rows, -1)
        hidden = torch.addmm(hidden, mixed, layer.output)
        gate, up = functional.linear(_norm(layer.mlp_norm, hidden), layer.gate_up).chunk(2, -1)
        return torch.addmm(hidden, functional.silu(gate).mul_(up), layer.down)


class _FusedLayer:
    def __init__(self, layer: Any) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.attention_norm, self.mlp_norm = layer.input_layernorm, layer.post_attention_layernorm
        self.query_key_value = _merged(attention.q_proj, attention.k_proj, attention.v_proj)
        self.gate_up = _merged(mlp.gate_proj, mlp.up_proj)
        self.output, self.down = attention.o_proj.weight.data.t(), mlp.down_proj.weight.data.t()


def _merged(*projections: Any) -> torch.Tensor:
    whole = torch.cat([one.weight.data for one in projections])
    start = 0
    for one in projections:
        rows = len(one.weight)
        one.weight.data = whole[start : start + rows]
        start += rows
    return whole


def _norm(norm: Any, hidden: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(hidden, norm.weight.shape, norm.weight, norm.variance_epsilon)
