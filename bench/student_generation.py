"""How fast does a student answer, and are its answers those of generating one by one?

python -m bench.student_generation [--n 256] [--peer-n 8] [--batch 128] [--threads 2]

Ours is the inference process as a worker runs it, loaded and warm. The peer is transformers' generate on one instruction
at a time, with the process's own defaults, half of it before ours and half after. Both: the bundled student, fp32, greedy,
at most 96 new tokens. Answers are compared on the peer's instructions; rounding may part them where two tokens tie.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.report import report, show
from distill.inference_client import InferenceProcess
from distill.records import Instruction

TARGET, NEW_TOKENS = 15.0, 96
_REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "pools" / "alpaca_en_demo.json"
_KINDS = ("Write a short story about", "Explain to a child what is special about", "List five facts about", "Compare")
_THINGS = ("a river and the sea", "winter in the mountains", "a bicycle and a car", "the moon", "bread", "an old map")

Item = dict[str, Any]


def items(n: int) -> list[Item]:
    """Real instructions, or invented ones where the real ones are absent."""
    if _REAL.exists():
        rows = json.loads(_REAL.read_text(encoding="utf-8"))
        texts = [(row["instruction"], row["input"]) for row in rows]
    else:
        texts = [(f"{kind} {thing}.", "") for kind in _KINDS for thing in _THINGS]
    chosen = (texts[i % len(texts)] for i in range(n))
    return [{"key": str(i), "text": text, "input": given} for i, (text, given) in enumerate(chosen)]


class OneByOne:
    """The peer: `generate` as the documentation shows it."""

    def __init__(self, home: Path, threads: int) -> None:
        import torch

        from distill.weights import load_model

        torch.set_num_threads(threads)
        self.torch = torch
        self.loaded = load_model("bundled", home=home)
        self.answers: dict[str, str] = {}
        self.tokens, self.seconds = 0, 0.0

    def run(self, asked: Sequence[Item]) -> None:
        from distill.templates import render_prompt

        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        for item in asked:
            ids = self.torch.tensor([render_prompt(tokenizer, Instruction(item["text"], item["input"]), "auto")])
            started = time.perf_counter()
            out = model.generate(
                ids, attention_mask=self.torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False
            )
            self.seconds += time.perf_counter() - started
            self.tokens += out.shape[1] - ids.shape[1]
            self.answers[item["key"]] = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True).strip()


@contextmanager
def ours(home: Path, batch: int, threads: int) -> Iterator[InferenceProcess]:
    settings = {"temperature": 0.0, "max_new_tokens": NEW_TOKENS, "batch_size": batch}
    header = {"op": "answer", "base": "bundled", "home": str(home), "settings": settings, "threads": threads}
    with InferenceProcess(header) as process:
        list(process.run(items(1)))
        yield process


def measure(n: int, peer_n: int, batch: int, threads: int, home: Path) -> dict[str, Any]:
    asked, half = items(n), peer_n // 2
    peer = OneByOne(home, threads)
    peer.run(asked[:half])
    with ours(home, batch, threads) as process:
        started = time.perf_counter()
        rows = {row["key"]: row for row in process.run(asked)}
        seconds = time.perf_counter() - started
    peer.run(asked[half:peer_n])
    speed = sum(row["completion_tokens"] for row in rows.values()) / seconds
    theirs = peer.tokens / peer.seconds
    same = sum(rows[key]["text"] == text for key, text in peer.answers.items())
    return report(
        "student_generation",
        ours=speed,
        peer=theirs,
        ratio=speed / theirs,
        target=TARGET,
        holds=speed / theirs >= TARGET and len(rows) == n,
        unit="tokens/s",
        n=n,
        batch=batch,
        threads=threads,
        same_answers=f"{same} of {len(peer.answers)}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Tokens per second of the bundled student, batched and one by one.")
    parser.add_argument("--n", type=int, default=256)
    parser.add_argument("--peer-n", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--home", type=Path, help="where the bundled student is or will be kept; default: a fresh folder"
    )
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as fresh:
        show(measure(chosen.n, chosen.peer_n, chosen.batch, chosen.threads, chosen.home or Path(fresh)))


if __name__ == "__main__":
    main()
