"""Writes the files that a training reads: which responses may be trained on, and in which order."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from distill.records import Finish, TrainingExample
from distill.settings import TrainingSettings

HELDOUT_FINISHES = (Finish.STOP, Finish.LENGTH)
"""The held-out loss counts cut responses too: each of their tokens is still the teacher's."""


def trainable_finishes(settings: TrainingSettings) -> tuple[Finish, ...]:
    """Only whole responses, unless cut ones are wanted. A reply that broke off on its way is never trained on."""
    return (Finish.STOP, Finish.LENGTH) if settings.train_on_cut else (Finish.STOP,)


def write_examples(path: Path, examples: Iterable[TrainingExample]) -> int:
    """JSON lines, written beside and renamed: a half file is never trained on. Returns the number of rows.

    Give them sorted by content hash, so that the order of training does not depend on when an instruction came in.
    """
    count, part = 0, path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        for one in examples:
            row = {
                "text": one.instruction.text,
                "input": one.instruction.input,
                "response": one.response,
                "complete": one.complete,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    part.replace(path)
    return count
