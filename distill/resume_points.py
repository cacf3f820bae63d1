"""Resume points: what training needs to go on as if it had never been interrupted.

The order of the data, the learning rate and the random numbers of a step are functions of seed and step, so the
weights, the optimizer's moments and the number of the next step are all there is to keep.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from distill.checkpoints import draft_folder

KEPT = 2
_TENSORS, _STATE = "tensors.safetensors", "state.json"


@dataclass
class TrainingState:
    """`step` optimizer steps are done. `fingerprint` names the job, `precision` what it computes in."""

    fingerprint: str
    precision: str
    step: int = 0
    seconds: float = 0.0
    metrics: dict[str, float] = field(default_factory=dict)


def save(work: Path, state: TrainingState, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Write a resume point whole or not at all, then drop the oldest beyond `KEPT`."""
    with draft_folder(work / f"step-{state.step:08d}") as draft:
        save_file(_tensors(model, optimizer), draft / _TENSORS)
        (draft / _STATE).write_text(json.dumps(asdict(state)), encoding="utf-8")
    for old in _folders(work)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def latest(work: Path, fingerprint: str) -> tuple[TrainingState, dict[str, torch.Tensor]] | None:
    """The newest readable resume point of this job, if there is one."""
    for folder in _folders(work):
        try:
            state = TrainingState(**json.loads((folder / _STATE).read_text(encoding="utf-8")))
            if state.fingerprint == fingerprint:
                return state, load_file(folder / _TENSORS)
        except (OSError, ValueError, TypeError, SafetensorError):
            continue  # damaged on disk: an older one will do
    return None


def restore(tensors: dict[str, torch.Tensor], model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    with torch.no_grad():
        for name, parameter in _trainable(model):
            parameter.copy_(tensors[f"weight/{name}"])
            optimizer.state[parameter] = {
                key: tensors[f"{key}/{name}"].to(parameter.device) for key in ("step", "exp_avg", "exp_avg_sq")
            }


def clear(work: Path) -> None:
    for folder in _folders(work):
        shutil.rmtree(folder, ignore_errors=True)


def _folders(work: Path) -> list[Path]:
    """Newest first."""
    return sorted(work.glob("step-*"), reverse=True)


def _trainable(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]


def _tensors(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    kept = {}
    for name, parameter in _trainable(model):
        kept[f"weight/{name}"] = parameter.detach().contiguous()
        kept.update({f"{key}/{name}": value.contiguous() for key, value in optimizer.state[parameter].items()})
    return kept
