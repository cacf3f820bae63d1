"""Which number format this machine trains faster in."""

from __future__ import annotations

import time

import torch

_TOKENS, _WIDTH = 128, 512
_FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def choose_precision(wanted: str, device: torch.device) -> str:
    """ "fp32" or "bf16"; "auto" is measured, by the products of one small layer, forward and backward."""
    if wanted != "auto":
        return wanted
    return min(_FORMATS, key=lambda name: _seconds(_FORMATS[name], device))


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    x, weight = (torch.ones(rows, _WIDTH, dtype=dtype, device=device) for rows in (_TOKENS, 2 * _WIDTH))
    best = float("inf")
    for _ in range(4):  # the first also pays for the start of the kernels
        start = time.perf_counter()
        grad = x @ weight.T
        (grad @ weight).sum().item()  # item() waits for the device
        best = min(best, time.perf_counter() - start)
    return best
