"""Settings of an experiment: frozen, validated at construction, stored as JSON when it starts.

Each field carries its help text and range as metadata, so that forms and `--help` say the same.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any

from distill.errors import SettingsError
from distill.records import Sampling
from distill.setting_fields import check, setting, type_hints_of


@dataclass(frozen=True)
class TeacherSettings:
    system_prompt: str = setting("", "Sent before every instruction. Empty: no system message.")
    temperature: float = setting(
        0.7, "Randomness of the teacher's answers; 0 is greedy. The paper uses 0.7.", low=0, high=2
    )
    top_p: float = setting(1.0, "Nucleus sampling: keep the most likely tokens up to this mass.", low=0.01, high=1)
    max_tokens: int = setting(
        1024, "Longest teacher answer, in tokens. Longer ones are cut and marked as cut.", low=1, high=131072
    )

    def __post_init__(self) -> None:
        check(self, "teacher")

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_tokens)


@dataclass(frozen=True)
class StudentSettings:
    base: str = setting(
        "bundled",
        "Base model: a Hugging Face id, a folder, or 'bundled' for the small student that ships with LionWeb.",
    )
    template: str = setting(
        "auto",
        "Prompt format: the tokenizer's chat template, Alpaca's '### Instruction:' format, or auto (chat where there is one).",
        choices=("auto", "chat", "alpaca"),
    )
    temperature: float = setting(
        0.7, "Randomness of the student's answers; 0 is greedy. The paper uses 0.7.", low=0, high=2
    )
    top_p: float = setting(1.0, "Nucleus sampling for the student.", low=0.01, high=1)
    max_new_tokens: int = setting(1024, "Longest student answer, in tokens.", low=1, high=131072)
    batch_size: int = setting(64, "Most sequences decoded at once.", low=1, high=4096)

    def __post_init__(self) -> None:
        check(self, "student")
        if not self.base.strip():
            raise SettingsError("student.base", "name a base model: a Hugging Face id, a folder, or 'bundled'.")

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_new_tokens)


@dataclass(frozen=True)
class TrainingSettings:
    method: str = setting("lora", "LoRA trains small adapters; full trains every weight.", choices=("lora", "full"))
    epochs: int = setting(3, "Passes over the Train Pool in each iteration.", low=1, high=100)
    learning_rate: float = setting(2e-5, "Peak learning rate.", low=1e-8, high=1)
    schedule: str = setting(
        "cosine", "How the learning rate falls after the warm-up.", choices=("cosine", "linear", "constant")
    )
    warmup_ratio: float = setting(0.03, "Share of the steps in which the learning rate rises.", low=0, high=0.9)
    batch_size: int = setting(128, "Global batch: sequences per optimizer step, over all devices.", low=1, high=65536)
    max_length: int = setting(
        1024,
        "Longest training sequence in tokens, prompt and response; longer responses are cut there.",
        low=16,
        high=131072,
    )
    weight_decay: float = setting(0.0, "AdamW weight decay.", low=0, high=1)
    max_grad_norm: float = setting(1.0, "Gradients are clipped to this norm.", low=0.01, high=1000)
    lora_r: int = setting(16, "Rank of the LoRA matrices.", low=1, high=1024)
    lora_alpha: int = setting(32, "LoRA scaling; alpha / r multiplies the update.", low=1, high=4096)
    lora_dropout: float = setting(0.0, "Dropout on the LoRA path.", low=0, high=0.9)
    precision: str = setting("auto", "auto measures which is faster on this machine.", choices=("auto", "bf16", "fp32"))
    gradient_checkpointing: bool = setting(
        False, "Recompute activations in the backward pass: slower, needs less memory."
    )
    warm_start: bool = setting(
        True, "Start from the last iteration's checkpoint (the paper does); off: from the base each time."
    )
    train_on_cut: bool = setting(
        False, "Also train on teacher answers that were cut at the token limit (without an end-of-text token)."
    )
    save_every_steps: int = setting(50, "Save a resume point every so many optimizer steps.", low=1, high=100000)

    def __post_init__(self) -> None:
        check(self, "training")


MAX_RUBRIC = 10_000
REPEATABLE_MODES = ("pairwise", "reference")
"""In which the same pair can be asked about a second time, or by a second referee."""


@dataclass(frozen=True)
class RefereeSettings:
    mode: str = setting(
        "pairwise",
        "pairwise: the referee model reads both responses in both orders. reference: it scores the student's response "
        "beside the reference. single: it scores each response by itself. likelihood: mean token log-likelihood under a local open-weights teacher.",
        choices=("pairwise", "reference", "single", "likelihood", "imported"),
    )
    weights: str = setting(
        "bundled",
        "Likelihood mode only: the open-weights model that scores; a Hugging Face id, a folder, a .gguf file, or 'bundled'. "
        "Of imported judgements: who judged.",
    )
    temperature: float = setting(0.2, "Randomness of the referee. The paper uses 0.2.", low=0, high=2)
    max_tokens: int = setting(512, "Longest review, in tokens.", low=16, high=131072)
    tau: float = setting(1.0, "Threshold: an instruction is hard if the gap is at least this.", low=-9, high=9)
    reask: int = setting(
        2, "How often an unreadable review is asked again before the pair stays unscored.", low=0, high=10
    )
    structured_output: str = setting(
        "auto", "Ask for scores as JSON by schema where the endpoint supports it.", choices=("auto", "on", "off")
    )
    length_adjusted: bool = setting(
        False, "Take the part of the gap that the difference in length alone explains out before it meets tau."
    )
    stability_percent: float = setting(
        0.0,
        "Share of the Cache Pool's pairs that the referee is asked about a second time: shows how far it agrees with itself. Costs calls.",
        low=0,
        high=100,
    )
    second_referee: str = setting(
        "off",
        "sample: a second endpoint scores a share of the pairs too, which shows whether the teacher favours itself. average: it scores all of them and both referees' scores are averaged; a pair is scored only if both gave usable scores. Costs calls.",
        choices=("off", "sample", "average"),
    )
    second_percent: float = setting(
        5.0, "Share of the Cache Pool's pairs that the second referee scores when sampling.", low=0, high=100
    )

    rubric: str = setting(
        "",
        "What the referee is told to weigh, in whole sentences. Empty: whether the answer does what was asked, is true, is "
        "relevant and has fitting detail. Not used by likelihood.",
    )

    def __post_init__(self) -> None:
        check(self, "referee")
        if len(self.rubric) > MAX_RUBRIC or "\x00" in self.rubric:
            raise SettingsError("referee.rubric", f"must be text of at most {MAX_RUBRIC:,} characters.")
        repeatable = self.mode in REPEATABLE_MODES
        if not repeatable and self.stability_percent:
            raise SettingsError("referee.stability_percent", f"must be 0 in {self.mode} mode: no pair is asked about.")
        if not repeatable and self.second_referee != "off":
            raise SettingsError("referee.second_referee", f"must be off in {self.mode} mode: no pair is asked about.")

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, 1.0, self.max_tokens)


@dataclass(frozen=True)
class GeneratorSettings:
    hard: int = setting(3000, "New instructions to make from hard ones, per iteration.", low=0, high=1_000_000)
    easy: int = setting(3000, "New instructions to make from easy ones, per iteration.", low=0, high=1_000_000)
    temperature: float = setting(1.0, "Randomness of the generator. The paper uses 1.0.", low=0, high=2)
    top_p: float = setting(1.0, "Nucleus sampling for the generator.", low=0.01, high=1)
    max_tokens: int = setting(512, "Longest generated instruction, in tokens.", low=16, high=131072)
    examples: int = setting(
        0,
        "Worked examples shown before each request. Small models need them; large ones do better without.",
        low=0,
        high=5,
    )
    novelty_threshold: float = setting(
        0.7, "A new instruction is kept if its ROUGE-L F with every known one is at most this.", low=0, high=1
    )
    max_attempts: int = setting(
        5, "Most candidates to ask for, per instruction wanted, before stopping with a reason.", low=1, high=1000
    )
    leak_policy: str = setting(
        "badge",
        "Instructions that overlap with an evaluation set: badge marks them, block keeps them out of Train and Cache Pool.",
        choices=("badge", "block"),
    )

    def __post_init__(self) -> None:
        check(self, "generator")

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_tokens)


@dataclass(frozen=True)
class PoolSettings:
    mode: str = setting(
        "replace",
        "replace: new instructions become the next Train Pool (the paper). append: they are added to it.",
        choices=("replace", "append"),
    )
    train: int = setting(0, "Size of the first Train Pool; 0 takes the whole imported pool.", low=0, high=100_000_000)
    cache: int = setting(0, "Size of the first Cache Pool; 0 takes the whole imported pool.", low=0, high=100_000_000)
    heldout: int = setting(
        100, "Held-out instructions on which every checkpoint is measured; never trained on.", low=0, high=1_000_000
    )

    def __post_init__(self) -> None:
        check(self, "pools")


@dataclass(frozen=True)
class GateSettings:
    review: str = setting(
        "skip",
        "Stop for people after the referee: skip, a random sample, or every flagged item.",
        choices=("skip", "sample", "require"),
    )
    review_sample_percent: float = setting(10.0, "Share of the instructions to review when sampling.", low=0, high=100)
    review_audit_percent: float = setting(
        5.0,
        "Random share reviewed besides, whatever the referee said: it shows the referee's error rate.",
        low=0,
        high=100,
    )
    review_stop_percent: float = setting(
        5.0,
        "Share of wrong verdicts that may stay: once people have shown that there are fewer, the page says to stop.",
        low=0,
        high=100,
    )
    reviewers_per_item: int = setting(1, "People who must decide on each item.", low=1, high=9)
    blind_review: bool = setting(False, "Hide the referee's verdict and which answer is the teacher's.")
    approval: str = setting(
        "skip",
        "Stop for people after the generator: skip, a random sample, or every new instruction.",
        choices=("skip", "sample", "require"),
    )
    approval_sample_percent: float = setting(
        10.0, "Share of the new instructions to approve when sampling.", low=0, high=100
    )

    def __post_init__(self) -> None:
        check(self, "gates")


@dataclass(frozen=True)
class ExperimentSettings:
    """Everything that decides what an experiment computes, apart from the endpoint and the imported pools."""

    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    student: StudentSettings = field(default_factory=StudentSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    referee: RefereeSettings = field(default_factory=RefereeSettings)
    generator: GeneratorSettings = field(default_factory=GeneratorSettings)
    pools: PoolSettings = field(default_factory=PoolSettings)
    gates: GateSettings = field(default_factory=GateSettings)
    iterations: int = setting(3, "Iterations to run one after the other; more can be launched later.", low=1, high=100)
    seed: int = setting(0, "Seeds every random choice of the loop.", low=0, high=2**31 - 1)

    def __post_init__(self) -> None:
        plain = {f.name: f.metadata for f in fields(self) if f.metadata}
        for name, meta in plain.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not meta["low"] <= value <= meta["high"]:
                raise SettingsError(
                    name, f"must be a whole number between {meta['low']} and {meta['high']}, not {value!r}."
                )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ExperimentSettings:
        """Rebuild from `to_json`; a group or field that is unknown, or a value out of range, raises SettingsError."""
        return _build(cls, data, "")


def _build(cls: Any, data: Any, path: str) -> Any:
    if not isinstance(data, dict):
        raise SettingsError(path or "settings", f"must be an object, not {data!r}.")
    hints = type_hints_of(cls)
    unknown = sorted(set(data) - set(hints))
    if unknown:
        raise SettingsError(f"{path}{unknown[0]}", "is not a setting.")
    return cls(
        **{
            name: _build(hints[name], value, f"{path}{name}.") if is_dataclass(hints[name]) else value
            for name, value in data.items()
        }
    )
