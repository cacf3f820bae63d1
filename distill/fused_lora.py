"""LoRA's linear layer, and the gated MLP made of three of them, as single differentiable operations.

peft adds the low-rank path with separate products, scalings, casts and additions; here the additions ride on the
matrix products. Same values up to rounding, fewer passes over memory, and only the layer's input is kept: what the MLP
needs in between is most of a layer's memory, and is computed again in the backward pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import Linear
from torch.nn.functional import silu

ADAPTER = "default"
GATED_MLPS = ("LlamaMLP", "MistralMLP", "Qwen2MLP", "Qwen3MLP")


@dataclass(frozen=True)
class _Lora:
    """y = x W' + bias + scaling * (x A') B', with W and bias frozen."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    a: torch.Tensor
    b: torch.Tensor
    scaling: float

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """y and x A'. x: [tokens, features]."""
        reduced = x @ self.a.to(x.dtype).T
        y = x @ self.weight.T if self.bias is None else torch.addmm(self.bias, x, self.weight.T)
        return y.addmm_(reduced, self.b.to(x.dtype).T, alpha=self.scaling), reduced

    def backward(
        self, grad: torch.Tensor, x: torch.Tensor, reduced: torch.Tensor, *, wants_x: bool
    ) -> tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]:
        """The gradients of x (None if not wanted), A and B."""
        grad_reduced = grad @ self.b.to(grad.dtype)
        grad_a = (grad_reduced.T @ x).to(self.a.dtype).mul_(self.scaling)
        grad_b = (grad.T @ reduced).to(self.b.dtype).mul_(self.scaling)
        if not wants_x:
            return None, grad_a, grad_b
        grad_x = (grad @ self.weight).addmm_(grad_reduced, self.a.to(grad.dtype), alpha=self.scaling)
        return grad_x, grad_a, grad_b


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        flat = x.flatten(0, -2)
        y, reduced = _Lora(weight, bias, a, b, scaling).forward(flat)
        ctx.save_for_backward(flat, reduced, weight, a, b)
        ctx.scaling, ctx.shape = scaling, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, reduced, weight, a, b = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)
        layer = _Lora(weight, None, a, b, ctx.scaling)
        grad_x, grad_a, grad_b = layer.backward(grad, flat, reduced, wants_x=ctx.needs_input_grad[0])
        return None if grad_x is None else grad_x.view(ctx.shape), None, None, grad_a, grad_b, None


class _LoraGatedMlp(torch.autograd.Function):
    """down(silu(gate(x)) * up(x)). Keeps x alone."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, scalings: tuple[float, float, float], *tensors: torch.Tensor
    ) -> torch.Tensor:
        gate, up, down = _three(tensors, scalings)
        flat = x.flatten(0, -2)
        product = silu(gate.forward(flat)[0], inplace=True).mul_(up.forward(flat)[0])
        ctx.save_for_backward(flat, *tensors)
        ctx.scalings, ctx.shape = scalings, x.shape
        return down.forward(product)[0].view(x.shape)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, *tensors = ctx.saved_tensors
        gate, up, down = _three(tensors, ctx.scalings)
        (gated, gate_reduced), (raised, up_reduced) = gate.forward(flat), up.forward(flat)
        active = silu(gated)
        product = active * raised
        reduced = product @ down.a.to(product.dtype).T
        grad, down_a, down_b = down.backward(grads[0].flatten(0, -2), product, reduced, wants_x=True)
        assert grad is not None
        del product
        grad_up = active.mul_(grad)
        grad_gate = torch.ops.aten.silu_backward(grad.mul_(raised), gated)
        del grad, raised, gated
        wants_x = ctx.needs_input_grad[0]
        first, gate_a, gate_b = gate.backward(grad_gate, flat, gate_reduced, wants_x=wants_x)
        second, up_a, up_b = up.backward(grad_up, flat, up_reduced, wants_x=wants_x)
        grad_x = None if first is None or second is None else first.add_(second).view(ctx.shape)
        return grad_x, None, None, gate_a, gate_b, None, up_a, up_b, None, down_a, down_b


def _three(tensors: Any, scalings: tuple[float, float, float]) -> list[_Lora]:
    return [_Lora(tensors[3 * i], None, tensors[3 * i + 1], tensors[3 * i + 2], scalings[i]) for i in range(3)]


def fuse_lora(model: torch.nn.Module) -> int:
    """Let every plain LoRA linear layer of a peft model use the fused operations; returns how many do."""
    layers = [one for one in model.modules() if isinstance(one, Linear) and _is_plain(one)]
    for layer in layers:
        layer.__dict__["forward"] = partial(_forward, layer)  # this instance only
    for mlp in model.modules():
        if type(mlp).__name__ in GATED_MLPS and _is_gated(mlp, layers):
            mlp.__dict__["forward"] = partial(_forward_gated, mlp)
    return len(layers)


def _is_plain(layer: Linear) -> bool:
    return (
        list(layer.active_adapters) == [ADAPTER]
        and not layer.lora_variant
        and not layer.merged
        and type(layer.base_layer) is torch.nn.Linear
        and layer.lora_A[ADAPTER].bias is None
        and layer.lora_B[ADAPTER].bias is None
        and isinstance(layer.lora_dropout[ADAPTER], torch.nn.Identity)
    )


def _is_gated(mlp: Any, plain: list[Linear]) -> bool:
    projections = (mlp.gate_proj, mlp.up_proj, mlp.down_proj)
    return (
        all(any(one is layer for layer in plain) and one.base_layer.bias is None for one in projections)
        and mlp.config.hidden_act == "silu"
    )


def _forward(layer: Linear, x: torch.Tensor) -> torch.Tensor:
    base = layer.base_layer
    return _LoraLinear.apply(
        x,
        base.weight,
        base.bias,
        layer.lora_A[ADAPTER].weight,
        layer.lora_B[ADAPTER].weight,
        layer.scaling[ADAPTER],
    )


def _forward_gated(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    tensors: list[torch.Tensor] = []
    for layer in (mlp.gate_proj, mlp.up_proj, mlp.down_proj):
        tensors += [layer.base_layer.weight, layer.lora_A[ADAPTER].weight, layer.lora_B[ADAPTER].weight]
    scalings = tuple(one.scaling[ADAPTER] for one in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
    return _LoraGatedMlp.apply(x, scalings, *tensors)
