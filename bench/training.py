"""How fast, and in how much memory, does the imitation stage train beside TRL's SFTTrainer and the Trainer?

python -m bench.training [--examples 32] [--max-length 512]

Every contender trains the bundled student in a process of its own: LoRA r=16 on all linear layers, the same tokenised
examples, batch 8, one epoch, the same number of steps, the number format that is faster on this machine. Counted are real
tokens, prompt and response, not padding, over the time from the first step to the end of the last; memory is the peak
of the process, to be under half of both SFTTrainer's and the fastest peer's; the held-out loss afterwards is taken for all by the same plain forward pass.
SFTTrainer runs as it comes (gradient checkpointing on), and packed in batches of one; the Trainer groups by length.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.report import report, show

FASTER_THAN_SFT, FASTER_THAN_BEST, MEMORY_SHARE, LOSS_TOLERANCE = 3.0, 1.4, 0.5, 1.02
PEERS = ("trainer_grouped", "sft_packed", "sft_defaults")
HELDOUT = 12
SETTINGS: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "warmup_ratio": 0.0,
    "lora_r": 16,
    "lora_alpha": 32,
}
_REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "pools" / "alpaca_en_demo.json"
_WORDS = (
    "the a of to and in river city sun work people water house letter reason example small large first second why how "
    "because often never always begins ends carries shows tells grows together apart between under over green old new"
)


def rows(count: int) -> list[dict[str, Any]]:
    """Real instructions with their answers, or invented words of the same lengths where those are absent."""
    if _REAL.exists():
        real = json.loads(_REAL.read_text(encoding="utf-8"))[:count]
        return [{"text": row["instruction"], "input": row["input"], "response": row["output"]} for row in real]
    rng, words = random.Random(0), _WORDS.split()

    def text(mean: float) -> str:
        return " ".join(rng.choice(words) for _ in range(round(rng.lognormvariate(mean, 0.7)) + 2))

    return [{"text": text(2.5), "input": "", "response": text(4.4)} for _ in range(count)]


def write_plan(folder: Path, home: Path, count: int, max_length: int) -> None:
    """Job file and rows for us, the same sequences as tokens for the peers, what all have to keep to for both."""
    import torch
    from transformers import AutoTokenizer

    from distill.bundled import ensure_bundled_student
    from distill.precision import choose_precision
    from distill.training_data import encode, read_examples
    from distill.training_job import TrainingJob

    model, threads = ensure_bundled_student(home), os.cpu_count() or 1
    torch.set_num_threads(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    settings = {**SETTINGS, "max_length": max_length, "precision": choose_precision("auto", device)}
    everything = rows(count + HELDOUT)
    for part, chosen in (("train", everything[:count]), ("heldout", everything[count:])):
        path = folder / f"{part}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in chosen), encoding="utf-8")
        tokenizer = AutoTokenizer.from_pretrained(model)
        encoded = encode(
            read_examples(path), tokenizer, template="auto", system_prompt="", max_length=max_length, keep_cut=True
        ).examples
        masked = [
            {"input_ids": one.ids, "completion_mask": [0] * one.prompt_length + [1] * one.response_tokens}
            for one in encoded
        ]
        (folder / f"{part}.json").write_text(json.dumps(masked))
    plan = {**settings, "model": str(model), "threads": threads, "seed": 0, "schedule": "cosine", "max_grad_norm": 1.0}
    (folder / "plan.json").write_text(json.dumps(plan))
    TrainingJob(
        base=str(model),
        home=str(home),
        adapter=None,
        output=str(folder / "checkpoint"),
        work=str(folder / "work"),
        train_file=str(folder / "train.jsonl"),
        heldout_file=None,
        settings=settings,
        template="auto",
        system_prompt="",
        seed=0,
        threads=threads,
    ).write(folder / "job.json")


def ours(folder: Path) -> dict[str, float]:
    """The stage's own parts, from the job file to the trained student, in this process."""
    import torch

    from bench.training_peers import heldout_loss
    from distill.resume_points import TrainingState
    from distill.trainee import prepare
    from distill.training_job import TrainingJob
    from distill.training_loop import Control, build_optimizer, train

    job = TrainingJob.read(folder / "job.json")
    torch.set_num_threads(job.threads)
    state = TrainingState(job.fingerprint(), job.training.precision)
    trainee = prepare(job, state.precision)
    optimizer = build_optimizer(trainee.model, job.training)
    silent = Control(lambda *_: None, lambda _: None, lambda: False, lambda: None)
    examples = trainee.train_set.examples
    start = time.perf_counter()
    train(trainee.loss, optimizer, examples, job.training, state, silent, seed=job.seed, budget=trainee.budget)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    trainee.loss.causal.set_attn_implementation("sdpa")
    return {
        "seconds": seconds,
        "tokens_per_second": sum(len(one.ids) for one in examples) / seconds,
        "memory_gb": memory,
        "steps": state.step,
        "heldout_loss": heldout_loss(trainee.model, json.loads((folder / "heldout.json").read_text())),
    }


def measured(module: str, *arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return {name: round(value, 3) for name, value in result.items()}


def compare(results: dict[str, dict[str, float]]) -> dict[str, Any]:
    """The figures that the targets are about, and whether they are met."""
    mine, peers = results["ours"], {name: results[name] for name in PEERS}
    best = max(peers, key=lambda name: peers[name]["tokens_per_second"])
    speed, memory = mine["tokens_per_second"], mine["memory_gb"]
    over_sft = speed / peers["sft_defaults"]["tokens_per_second"]
    over_best = speed / peers[best]["tokens_per_second"]
    share = memory / min(peers["sft_defaults"]["memory_gb"], peers[best]["memory_gb"])
    equal = all(mine["heldout_loss"] <= LOSS_TOLERANCE * one["heldout_loss"] for one in peers.values())
    return {
        "ours": speed,
        "peer": peers["sft_defaults"]["tokens_per_second"],
        "ratio": round(over_sft, 2),
        "target": FASTER_THAN_SFT,
        "best_peer": best,
        "ratio_to_best_peer": round(over_best, 2),
        "target_to_best_peer": FASTER_THAN_BEST,
        "memory_share": round(share, 2),
        "memory_share_of": {name: round(memory / one["memory_gb"], 2) for name, one in peers.items()},
        "target_memory_share": MEMORY_SHARE,
        "equal_loss": equal,
        "holds": over_sft >= FASTER_THAN_SFT and over_best >= FASTER_THAN_BEST and share < MEMORY_SHARE and equal,
    }


def run(count: int, max_length: int, home: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_plan(folder, home, count, max_length)
        results = {"ours": measured("bench.training", "--ours", place)}
        results |= {name: measured("bench.training_peers", name, place) for name in PEERS}
        precision = json.loads((folder / "plan.json").read_text())["precision"]
    return report(
        "training",
        **compare(results),
        unit="tokens/s",
        n=count,
        precision=precision,
        cores=os.cpu_count(),
        data="real instructions" if _REAL.exists() else "invented words",
        contenders=results,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=512)
    parser.add_argument("--home", type=Path, default=Path(os.environ.get("LIONWEB_HOME", "var")))
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    show(ours(options.ours) if options.ours else run(options.examples, options.max_length, options.home))


if __name__ == "__main__":
    main()
