"""What a training process is told, and how it ends. Neither side of the pipe needs torch for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distill.errors import TrainingError
from distill.settings import TrainingSettings

EXIT_DONE, EXIT_FAILED, EXIT_STOPPED = 0, 1, 75
WATCH_PARENT = "--watch-parent"  # end when standard input does, that is when the parent has died
OUT_OF_MEMORY_ADVICE = "Lower batch_size or max_length, turn gradient_checkpointing on, or train LoRA instead of full."


@dataclass(frozen=True)
class TrainingJob:
    """One imitation stage.

    Attributes:
        adapter: the previous checkpoint's folder to go on from, or None.
        output: the checkpoint folder to write; work: the folder of resume points.
        train_file, heldout_file: JSONL rows {"text", "input", "response", "complete"}.
        threads: CPU threads; 0 leaves the choice to torch. Bitwise repeatability needs the same number.
    """

    base: str
    home: str
    adapter: str | None
    output: str
    work: str
    train_file: str
    heldout_file: str | None
    settings: dict[str, Any]
    template: str
    system_prompt: str
    seed: int
    threads: int

    @property
    def training(self) -> TrainingSettings:
        return TrainingSettings(**self.settings)

    @property
    def start_from(self) -> Path | None:
        return Path(self.adapter) if self.adapter and self.training.warm_start else None

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> TrainingJob:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def fingerprint(self) -> str:
        """Changes with everything that decides which weights come out; a resume point serves only its own job."""
        settings = {name: value for name, value in self.settings.items() if name != "save_every_steps"}
        files = [_sha256(path) for path in (self.train_file, self.heldout_file) if path]
        start = str(self.start_from) if self.start_from else ""
        body = [self.base, start, files, settings, self.template, self.system_prompt, self.seed]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TrainingError(f"The training file {path} cannot be read: {error.strerror}.") from error
