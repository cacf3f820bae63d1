"""The student in training: its weights, its data and its loss, ready for the loop."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState
from peft import LoraConfig, PeftModel, get_peft_model

from distill.errors import TrainingError
from distill.fused_lora import fuse_lora
from distill.lean_norm import lean_norms
from distill.response_loss import ResponseLoss
from distill.training_data import Encoded, EncodedSet, encode, read_examples
from distill.training_job import TrainingJob
from distill.weights import is_lora, load_model

MICRO_BATCH_TOKENS = {"cpu": 512, "cuda": 4096}  # or the longest sequence, where that is longer; 512 is as fast as more
PACKING_TOLERANCE = {"fp32": 1e-3, "bf16": 2e-2}


@dataclass
class Trainee:
    """`budget`: the most tokens that are computed at once."""

    model: Any
    tokenizer: Any
    loss: ResponseLoss
    train_set: EncodedSet
    heldout: list[Encoded]
    budget: int


def prepare(job: TrainingJob, precision: str) -> Trainee:
    """Model, data and loss, ready to train. TrainingError: nothing to train on, or a checkpoint of the other method."""
    settings, device = job.training, PartialState().device
    _check_method(job)
    loaded = load_model(
        job.base,
        job.start_from,
        home=Path(job.home),
        dtype="bf16" if precision == "bf16" and settings.method == "lora" else "fp32",
        for_training=True,
    )
    model = loaded.model
    model.config.use_cache = False
    if settings.method == "lora" and not isinstance(model, PeftModel):
        torch.manual_seed(job.seed)
        model = get_peft_model(model, _lora_config(job))
    model.to(device)
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    fuse_lora(model)
    lean_norms(model)
    train_set, heldout = (_encoded(job, path, loaded.tokenizer) for path in (job.train_file, job.heldout_file))
    if not train_set.examples:
        reasons = ", ".join(f"{count} {reason}" for reason, count in train_set.skipped.items()) or "the file is empty"
        raise TrainingError(
            f"No example is left to train on ({reasons}).", "Raise max_length, or look at the teacher's answers."
        )
    loss = ResponseLoss(model, autocast=precision == "bf16" and settings.method == "full")
    lengths = sorted(train_set.examples + heldout.examples, key=lambda one: len(one.ids))
    loss.pack_if_equal([lengths[0], lengths[len(lengths) // 2]], PACKING_TOLERANCE[precision])
    budget = max(MICRO_BATCH_TOKENS.get(device.type, 1024), len(lengths[-1].ids))
    return Trainee(model, loaded.tokenizer, loss, train_set, heldout.examples, budget)


def _check_method(job: TrainingJob) -> None:
    start = job.start_from
    if start and start.is_dir() and is_lora(start) != (job.training.method == "lora"):
        kind = "LoRA" if is_lora(start) else "full"
        raise TrainingError(
            f"The previous checkpoint {start} was trained by the {kind} method, this one by {job.training.method}.",
            "Keep the method within an experiment, or turn warm start off.",
        )


def _lora_config(job: TrainingJob) -> LoraConfig:
    settings = job.training
    return LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def _encoded(job: TrainingJob, path: str | None, tokenizer: Any) -> EncodedSet:
    examples = read_examples(Path(path)) if path else []
    return encode(
        examples,
        tokenizer,
        template=job.template,
        system_prompt=job.system_prompt,
        max_length=job.training.max_length,
        keep_cut=job.training.train_on_cut or path == job.heldout_file,
    )


def write_weights(trainee: Trainee, folder: Path) -> None:
    """The adapter, or the whole model with its tokenizer, as safetensors; equal weights give equal files."""
    if not isinstance(trainee.model, PeftModel):
        trainee.model.save_pretrained(folder)
        trainee.tokenizer.save_pretrained(folder)
        return
    trainee.model.save_pretrained(str(folder), save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a model card to be filled in by hand
    config = folder / "adapter_config.json"
    facts = json.loads(config.read_text(encoding="utf-8"))
    facts["target_modules"] = sorted(facts["target_modules"])  # a set, in another order in every process
    config.write_text(json.dumps(facts, indent=1, sort_keys=True), encoding="utf-8")
