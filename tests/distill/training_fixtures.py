"""A tiny training job and its files, for the tests of the imitation stage."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distill.training_job import TrainingJob
from tests.tiny_models import build_tiny_model

ROWS = [
    {
        "text": f"Name {n} rivers.",
        "input": "Europe" if n % 2 else "",
        "response": f"The sea {'and the sky ' * (n % 5)}.",
    }
    for n in range(13)
]


def write_rows(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps({"complete": True, **row}) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def tiny_job(folder: Path, *, rows: Iterable[dict[str, Any]] = ROWS, **changes: Any) -> TrainingJob:
    """Eight steps of LoRA on a tiny model; `changes` name settings of TrainingSettings, or fields of the job."""
    model = folder / "model"
    if not model.exists():
        build_tiny_model(model)
    fields = {name: changes.pop(name) for name in list(changes) if name in TrainingJob.__dataclass_fields__}
    settings = {"epochs": 2, "batch_size": 4, "learning_rate": 0.02, "lora_r": 4, "precision": "fp32", **changes}
    job = {
        "base": str(model),
        "home": str(folder),
        "adapter": None,
        "output": str(folder / "checkpoint"),
        "work": str(folder / "work"),
        "train_file": write_rows(folder / "train.jsonl", rows),
        "heldout_file": write_rows(folder / "heldout.jsonl", ROWS[:3]),
        "settings": settings,
        "template": "auto",
        "system_prompt": "",
        "seed": 7,
        "threads": 1,
        **fields,
    }
    return TrainingJob(**job)
