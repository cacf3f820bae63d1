"""Settings to start from."""

from dataclasses import dataclass

from distill.settings import (
    ExperimentSettings,
    GeneratorSettings,
    PoolSettings,
    RefereeSettings,
    StudentSettings,
    TeacherSettings,
    TrainingSettings,
)


@dataclass(frozen=True)
class Preset:
    name: str
    title: str
    description: str
    settings: ExperimentSettings


_DEMO = Preset(
    "bundled-demo",
    "Bundled demo",
    "Teacher and student that ship with LionWeb. One iteration takes a few minutes on two cores; no key, no GPU.",
    ExperimentSettings(
        teacher=TeacherSettings(temperature=0.0, max_tokens=80),
        student=StudentSettings(base="bundled", temperature=0.0, max_new_tokens=80, batch_size=64),
        training=TrainingSettings(
            method="lora",
            epochs=3,
            learning_rate=1e-3,
            batch_size=8,
            max_length=256,
            lora_r=32,
            lora_alpha=64,
            train_on_cut=True,
            save_every_steps=10,
        ),
        referee=RefereeSettings(mode="likelihood", weights="bundled", tau=1.0),
        generator=GeneratorSettings(hard=12, easy=12, temperature=0.7, max_tokens=80, examples=5),
        pools=PoolSettings(mode="replace", train=64, cache=64, heldout=30),
        iterations=1,
    ),
)

_PAPER = Preset(
    "paper-7b",
    "Paper, 7B",
    "The published settings: full fine-tuning of a 7B model on 52K instructions, 6K new ones per iteration. Eight 80 GB GPUs.",
    ExperimentSettings(
        student=StudentSettings(base="huggyllama/llama-7b", template="alpaca"),
        training=TrainingSettings(method="full", precision="bf16"),
    ),
)

_LORA_24GB = Preset(
    "lora-24gb",
    "LoRA on one 24 GB GPU",
    "A 3B to 8B model with LoRA on one consumer GPU, new instructions appended to the Train Pool.",
    ExperimentSettings(
        student=StudentSettings(base="Qwen/Qwen2.5-3B", max_new_tokens=768, batch_size=48),
        training=TrainingSettings(
            method="lora",
            learning_rate=2e-4,
            batch_size=64,
            lora_r=32,
            lora_alpha=64,
            precision="bf16",
            gradient_checkpointing=True,
        ),
        generator=GeneratorSettings(hard=1500, easy=1500),
        pools=PoolSettings(mode="append"),
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (_DEMO, _PAPER, _LORA_24GB)}
