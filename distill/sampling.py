"""Picking next tokens for many rows at once, each row by its own random numbers."""

from __future__ import annotations

import hashlib

import torch

_NUCLEUS_GUESS = 256


def uniforms(seed: int, key: str, count: int) -> list[float]:
    """The random numbers in [0, 1) of one row. They depend on nothing else, so a row is drawn the same in any batch."""
    digest = hashlib.sha256(f"{seed}\x1f{key}".encode("utf-8", "surrogatepass")).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big"))
    return torch.rand(count, generator=generator, dtype=torch.float64).tolist()


def pick(logits: torch.Tensor, temperature: float, top_p: float, draws: torch.Tensor) -> torch.Tensor:
    """One token per row of `logits` [rows, vocabulary]: the likeliest at temperature 0, else where `draws` [rows] fall."""
    if temperature == 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits.float() / temperature, -1)
    if top_p < 1:
        probabilities = nucleus(probabilities, top_p)
    cumulative = probabilities.cumsum(-1)
    targets = draws.to(cumulative)[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, targets, right=True)[:, 0]
    return torch.minimum(chosen, (cumulative < cumulative[:, -1:]).sum(-1))


def nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but each row's likeliest tokens whose mass reaches `top_p`."""
    width = probabilities.shape[-1]
    guess = min(_NUCLEUS_GUESS, width)  # sorting a whole vocabulary costs more than the model's step
    top = probabilities.topk(guess, -1).values
    if guess < width and bool((top.sum(-1) < top_p).any()):
        top = probabilities.sort(-1, descending=True).values
    before = top.cumsum(-1) - top
    smallest = top.masked_fill(before >= top_p, torch.inf).amin(-1, keepdim=True)
    return probabilities.where(probabilities >= smallest, 0.0)
