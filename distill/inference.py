"""A process with one model: `python -m distill.inference`, JSON lines in and out.

In: a header {"op": "answer" | "likelihood", "base", "adapter", "home", "settings", "system_prompt", "template", "seed",
"threads"}, then items; a blank line ends a batch. Items of "answer": {"key", "text", "input"}; of "likelihood":
{"key", "text", "input", "teacher_response", "student_response"}.
Out: {"ready": true} once the model is loaded, a row for each item as it is finished, {"done": n} after each batch,
{"error": {"code", "cause", "advice"}} where it cannot go on. Ends when its standard input closes.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from distill.errors import DistillError
from distill.records import Instruction, Pair

Answer = Callable[[list[dict[str, Any]]], Iterator[dict[str, Any]]]


def main() -> int:
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1, encoding="utf-8")
    sys.stdout = sys.stderr  # a library that prints must not speak the protocol
    lines = _lines_until_parent_ends(sys.stdin)
    try:
        engine = _engine(json.loads(next(lines)))
        _write(out, {"ready": True})
        for batch in _batches(lines):
            for row in engine(batch):
                _write(out, row)
            _write(out, {"done": len(batch)})
    except DistillError as error:
        _write(out, {"error": error.as_dict()})
        return 1
    return 0


def _lines_until_parent_ends(stream: TextIO) -> Iterator[str]:
    """Lines of standard input; the process ends at once when it closes, also in the middle of a batch."""
    lines: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in stream:
            lines.put(line)
        os._exit(0)

    threading.Thread(target=read, name="parent-watch", daemon=True).start()
    while True:
        yield lines.get()


def _batches(lines: Iterable[str]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for line in lines:
        if line.strip():
            batch.append(json.loads(line))
        else:
            yield batch
            batch = []


def _engine(header: dict[str, Any]) -> Answer:
    import torch

    from distill.bundled import bundled_teacher_gguf
    from distill.weights import load_model

    if header.get("threads"):
        torch.set_num_threads(header["threads"])
    base, adapter = header["base"], Path(header["adapter"]) if header.get("adapter") else None
    if base == "bundled" and header["op"] == "likelihood":  # "bundled" is a teacher here, elsewhere a student
        base = str(bundled_teacher_gguf())
    loaded = load_model(base, adapter, home=Path(header["home"]))
    return _likelihood(loaded, header) if header["op"] == "likelihood" else _answers(loaded, header)


def _answers(loaded: Any, header: dict[str, Any]) -> Answer:
    from distill.settings import StudentSettings
    from distill.student import StudentEngine

    engine = StudentEngine(
        loaded, StudentSettings(**header["settings"]), system_prompt=header["system_prompt"], seed=header["seed"]
    )

    def answer(batch: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in engine.answer((item["key"], Instruction(item["text"], item["input"])) for item in batch):
            yield asdict(row)

    return answer


def _likelihood(loaded: Any, header: dict[str, Any]) -> Answer:
    from distill.likelihood import LikelihoodReferee

    referee = LikelihoodReferee(loaded, template=header.get("template", "auto"), system_prompt=header["system_prompt"])

    def review(batch: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        pairs = [
            Pair(
                item["key"],
                Instruction(item["text"], item["input"]),
                item["teacher_response"],
                item["student_response"],
            )
            for item in batch
        ]
        for row in referee.review(pairs):
            yield asdict(row)

    return review


def _write(out: TextIO, row: dict[str, Any]) -> None:
    out.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
