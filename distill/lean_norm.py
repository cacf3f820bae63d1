"""RMSNorm that keeps its input and one number a token for the backward pass, where the library's keeps three copies."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

RMS_NORMS = ("LlamaRMSNorm", "MistralRMSNorm", "Qwen2RMSNorm", "Qwen3RMSNorm")


class _FrozenRmsNorm(torch.autograd.Function):
    """weight * x / sqrt(mean(x^2) + epsilon) over the last dimension, computed in fp32; no gradient for the weight."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        scale = torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, scale, weight)
        return (wide * scale).to(x.dtype) * weight

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, scale, weight = ctx.saved_tensors
        wide, grad = x.float(), (grads[0] * weight).float()
        along = (grad * wide).mean(-1, keepdim=True).mul_(scale.square())
        return grad.sub_(wide * along).mul_(scale).to(x.dtype), None, None


def lean_norms(model: torch.nn.Module) -> int:
    """Let every frozen RMSNorm of a model that is only adapted use this; returns how many do."""
    norms = [
        one
        for one in model.modules()
        if type(one).__name__ in RMS_NORMS and not any(weight.requires_grad for weight in one.parameters())
    ]
    for norm in norms:
        norm.__dict__["forward"] = partial(_forward, norm)  # this instance only
    return len(norms)


def _forward(norm: Any, x: torch.Tensor) -> torch.Tensor:
    return _FrozenRmsNorm.apply(x, norm.weight, norm.variance_epsilon)
