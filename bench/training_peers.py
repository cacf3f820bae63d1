"""The peers of bench.training, each in its own process: TRL's SFTTrainer and the Trainer, as their users set them up.

python -m bench.training_peers NAME FOLDER prints {"seconds", "tokens_per_second", "memory_gb", "heldout_loss"}.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DataCollatorForSeq2Seq,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from trl import SFTConfig, SFTTrainer

Rows = list[dict[str, list[int]]]  # {"input_ids": ..., "completion_mask": ...}


class Clock(TrainerCallback):
    """Seconds from the first optimizer step's beginning to the end of training."""

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.start = time.perf_counter()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.seconds = time.perf_counter() - self.start


def lora(plan: dict[str, Any]) -> LoraConfig:
    return LoraConfig(
        r=plan["lora_r"], lora_alpha=plan["lora_alpha"], target_modules="all-linear", task_type="CAUSAL_LM"
    )


def arguments(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    return {
        "output_dir": str(folder / "peer"),
        "per_device_train_batch_size": plan["batch_size"],
        "num_train_epochs": plan["epochs"],
        "learning_rate": plan["learning_rate"],
        "lr_scheduler_type": plan["schedule"],
        "max_grad_norm": plan["max_grad_norm"],
        "seed": plan["seed"],
        "bf16": plan["precision"] == "bf16",
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": False,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
    }


def sft(plan: dict[str, Any], folder: Path, rows: Rows, **changes: Any) -> Trainer:
    config = SFTConfig(
        **{**arguments(plan, folder), "max_length": plan["max_length"], "completion_only_loss": True, **changes}
    )
    model = AutoModelForCausalLM.from_pretrained(plan["model"], dtype=torch.float32)
    return SFTTrainer(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(plan["model"]),
        peft_config=lora(plan),
    )


def sft_packed(plan: dict[str, Any], folder: Path, rows: Rows) -> Trainer:
    """Packs of max_length tokens in batches of one; as many packs a step as `batch_size` sequences fill."""
    tokens = sum(len(row["input_ids"]) for row in rows)
    packs = max(1, round(tokens / plan["max_length"] / math.ceil(len(rows) / plan["batch_size"])))
    return sft(plan, folder, rows, packing=True, per_device_train_batch_size=1, gradient_accumulation_steps=packs)


def grouped_trainer(plan: dict[str, Any], folder: Path, rows: Rows) -> Trainer:
    labelled = [
        {
            "input_ids": row["input_ids"],
            "labels": [
                token if mask else -100 for token, mask in zip(row["input_ids"], row["completion_mask"], strict=True)
            ],
        }
        for row in rows
    ]
    tokenizer = AutoTokenizer.from_pretrained(plan["model"])
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(plan["model"], dtype=torch.float32), lora(plan))
    return Trainer(
        model=model,
        args=TrainingArguments(**arguments(plan, folder), train_sampling_strategy="group_by_length"),
        train_dataset=Dataset.from_list(labelled),
        data_collator=DataCollatorForSeq2Seq(tokenizer, padding=True),
    )


PEERS = {"sft_defaults": sft, "sft_packed": sft_packed, "trainer_grouped": grouped_trainer}


def heldout_loss(model: Any, rows: Rows) -> float:
    """Mean loss of completion tokens, one sequence at a time, through the model's own forward."""
    model.eval()
    total, count = 0.0, 0
    with torch.no_grad():
        for row in rows:
            ids, mask = torch.tensor([row["input_ids"]]), torch.tensor(row["completion_mask"][1:], dtype=torch.bool)
            logits = model(input_ids=ids.to(model.device)).logits[0, :-1][mask].float().cpu()
            total += torch.nn.functional.cross_entropy(logits, ids[0, 1:][mask], reduction="sum").item()
            count += int(mask.sum())
    return total / count


def run(name: str, folder: Path) -> dict[str, float]:
    plan = json.loads((folder / "plan.json").read_text())
    rows, heldout = (json.loads((folder / f"{part}.json").read_text()) for part in ("train", "heldout"))
    torch.set_num_threads(plan["threads"])
    trainer, clock = PEERS[name](plan, folder, rows), Clock()
    trainer.add_callback(clock)
    trainer.train()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {
        "seconds": clock.seconds,
        "tokens_per_second": plan["epochs"] * sum(len(row["input_ids"]) for row in rows) / clock.seconds,
        "memory_gb": memory,
        "steps": trainer.state.global_step,
        "heldout_loss": heldout_loss(trainer.model, heldout),
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]))))
