"""The training loop: optimizer steps over global batches whose loss is the mean over all their response tokens.

A global batch is computed as micro-batches of bounded size, so memory does not grow with the batch size, and the
gradient is exactly that of one large batch. Several processes each take a part of every global batch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
import torch
from accelerate import PartialState
from accelerate.utils import reduce

from distill.errors import TrainingError
from distill.response_loss import ResponseLoss
from distill.resume_points import TrainingState
from distill.settings import TrainingSettings
from distill.training_data import Encoded, epoch_batches, micro_batches

SAVE_AT_LEAST_EVERY_SECONDS = 180.0


@dataclass(frozen=True)
class Control:
    """How the loop speaks to its surroundings: metrics out, the wish to stop in, resume points to the disk."""

    metric: Callable[[int, str, float], None]
    progress: Callable[[int], None]
    should_stop: Callable[[], bool]
    save: Callable[[], None]


def global_batches(count: int, settings: TrainingSettings, seed: int) -> list[list[int]]:
    """The indices of every optimizer step, over all epochs."""
    size = settings.batch_size
    return [batch for epoch in range(settings.epochs) for batch in epoch_batches(count, size, seed=seed, epoch=epoch)]


def learning_rate(settings: TrainingSettings, step: int, steps: int) -> float:
    """The rate of one step, counted from 0: a linear warm-up, then the schedule."""
    warmup = math.ceil(settings.warmup_ratio * steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / (warmup + 1)
    done = (step - warmup) / max(1, steps - warmup)
    shape = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    return settings.learning_rate * shape[settings.schedule]


def build_optimizer(model: torch.nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW; biases and norms are not decayed."""
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in trainable if one.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [one for one in trainable if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=settings.learning_rate, fused=True)


def train(
    loss: ResponseLoss,
    optimizer: torch.optim.Optimizer,
    examples: Sequence[Encoded],
    settings: TrainingSettings,
    state: TrainingState,
    control: Control,
    *,
    seed: int,
    budget: int,
) -> bool:
    """Do the steps from `state.step` on, and count them there; False if it was asked to stop before the last one."""
    batches = global_batches(len(examples), settings, seed)
    saved = time.monotonic()
    loss.model.train()
    while state.step < len(batches):
        if _any_process(control.should_stop()):
            control.save()
            return False
        step, start = state.step, time.monotonic()
        batch = [examples[index] for index in batches[step]]
        torch.manual_seed(hash((seed, step)) % 2**31)  # dropout, too, is a function of seed and step
        value = _accumulate(loss, batch, budget)
        norm = _update(loss.model, optimizer, learning_rate(settings, step, len(batches)), settings.max_grad_norm)
        _check_finite(value, norm, step + 1)
        seconds = time.monotonic() - start
        state.step, state.seconds, state.metrics["loss"] = step + 1, state.seconds + seconds, value
        control.metric(state.step, "loss", value)
        control.metric(state.step, "learning_rate", learning_rate(settings, step, len(batches)))
        control.metric(state.step, "grad_norm", norm)
        control.metric(state.step, "tokens_per_second", sum(len(one.ids) for one in batch) / max(seconds, 1e-9))
        control.metric(state.step, "memory_bytes", float(memory_bytes()))
        control.progress(state.step)
        due = state.step % settings.save_every_steps == 0 or time.monotonic() - saved > SAVE_AT_LEAST_EVERY_SECONDS
        if due and state.step < len(batches):
            control.save()
            saved = time.monotonic()
    return True


def _accumulate(loss: ResponseLoss, batch: Sequence[Encoded], budget: int) -> float:
    """Gradients of the batch's mean token loss, summed over processes; returns that loss."""
    shared = PartialState()
    tokens = sum(one.response_tokens for one in batch)
    by_length = sorted(batch, key=lambda one: len(one.ids))
    total = torch.zeros((), device=shared.device)
    for group in micro_batches(by_length[shared.process_index :: shared.num_processes], budget):
        part = loss(group) / tokens
        part.backward()
        total += part.detach()
    if shared.num_processes > 1:
        for parameter in _trainable(loss.model):
            parameter.grad = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            parameter.grad.copy_(reduce(parameter.grad, "sum"))
        total = reduce(total, "sum")
    return total.item()


def _update(model: torch.nn.Module, optimizer: torch.optim.Optimizer, rate: float, max_norm: float) -> float:
    norm = torch.nn.utils.clip_grad_norm_(_trainable(model), max_norm).item()
    if math.isfinite(norm):
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return norm


def _check_finite(value: float, norm: float, step: int) -> None:
    if not math.isfinite(value) or not math.isfinite(norm):
        raise TrainingError(
            f"The loss is no longer a finite number at step {step}.",
            "Lower the learning rate, lower max_grad_norm, or set precision to fp32.",
        )


def _any_process(wish: bool) -> bool:
    shared = PartialState()
    if shared.num_processes == 1:
        return wish
    return bool(reduce(torch.tensor(float(wish), device=shared.device), "sum").item())


def _trainable(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def memory_bytes() -> int:
    """What the process holds now: on the GPU its peak so far, on the CPU its resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return psutil.Process().memory_info().rss
