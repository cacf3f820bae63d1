"""LoRA's linear layer as one differentiable operation.

peft adds the low-rank path with separate products, scalings, casts and additions; here the additions ride on the
matrix products. Same values up to rounding, fewer passes over memory, and only the layer's input is kept.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from peft.tuners.lora.layer import Linear

ADAPTER = "default"


class _LoraLinear(torch.autograd.Function):
    """y = x W' + bias + scaling * (x A') B', with W and bias frozen."""

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
        flat, low_a, low_b = x.flatten(0, -2), a.to(x.dtype), b.to(x.dtype)
        reduced = flat @ low_a.T
        y = flat @ weight.T if bias is None else torch.addmm(bias, flat, weight.T)
        y.addmm_(reduced, low_b.T, alpha=scaling)
        ctx.save_for_backward(flat, reduced, weight, a, b)
        ctx.scaling, ctx.shape = scaling, x.shape
        return y.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, reduced, weight, a, b = ctx.saved_tensors
        grad = grads[0].flatten(0, -2)
        grad_reduced = grad @ b.to(grad.dtype)
        grad_a = (grad_reduced.T @ flat).to(a.dtype).mul_(ctx.scaling)
        grad_b = (grad.T @ reduced).to(b.dtype).mul_(ctx.scaling)
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad @ weight
            grad_x = grad_x.addmm_(grad_reduced, a.to(grad.dtype), alpha=ctx.scaling).view(ctx.shape)
        return grad_x, None, None, grad_a, grad_b, None


def fuse_lora(model: torch.nn.Module) -> int:
    """Let every plain LoRA linear layer of a peft model use the fused operation; returns how many do."""
    layers = [one for one in model.modules() if isinstance(one, Linear) and _is_plain(one)]
    for layer in layers:
        layer.__dict__["forward"] = partial(_forward, layer)  # this instance only
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
