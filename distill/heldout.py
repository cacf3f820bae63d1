"""The held-out measure: the student's mean loss per token of the teacher's held-out responses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from accelerate import PartialState
from accelerate.utils import reduce

from distill.response_loss import ResponseLoss
from distill.training_data import Encoded, micro_batches


def heldout_loss(loss: ResponseLoss, examples: Sequence[Encoded], *, budget: int) -> tuple[float, int]:
    """Mean loss and the number of response tokens it is the mean of, over all processes."""
    state = PartialState()
    training = loss.model.training
    loss.model.eval()
    total = torch.zeros((), dtype=torch.float64)
    with torch.no_grad():
        for group in micro_batches(examples[state.process_index :: state.num_processes], budget):
            total += loss(group).double().cpu()
    loss.model.train(training)
    tokens = sum(one.response_tokens for one in examples)
    total = reduce(total.to(state.device, torch.float32), "sum") if state.num_processes > 1 else total
    return total.item() / max(tokens, 1), tokens
