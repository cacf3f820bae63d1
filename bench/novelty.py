"""How long does the novelty check of one iteration take, and does it decide as rouge_score does?

python -m bench.novelty [--new 6000] [--pool 52000]

Ours is the wall time from texts to verdicts, building the index included. The peer is rouge_score's LCS on token lists
made beforehand, measured on a sample of pairs in the same run, scaled to all pairs and divided by the number of cores, as
if it ran on all of them without loss. Decisions are compared, one text after the other, on texts made to lie just below,
at and just above the threshold, and on texts from the timed set.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

from rouge_score import rouge_scorer
from rouge_score.tokenize import tokenize

from distill.novelty import NoveltyIndex

THRESHOLD, TARGET_SECONDS = 0.7, 10.0
_REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "pools" / "alpaca_en_demo.json"
_WORDS = (
    "describe explain write list compare a the an of in for to with and how why what three five short long story poem "
    "letter plan recipe table program function sentence word meaning history city river animal machine student teacher "
    "following given text number summary reason example difference between most common first people should could help"
)


def sources(rng: random.Random) -> list[list[str]]:
    """Word lists of real instructions, or invented ones of the same lengths where the real ones are absent."""
    if _REAL.exists():
        rows = json.loads(_REAL.read_text(encoding="utf-8"))
        return [f"{row['instruction']} {row['input']}".split() for row in rows]
    words = _WORDS.split()
    return [[rng.choice(words) for _ in range(round(rng.lognormvariate(3.1, 0.6)) + 3)] for _ in range(999)]


def blend(rng: random.Random, texts: Sequence[list[str]]) -> str:
    """The beginning of one instruction and the end of another, with a third of the words taken from elsewhere."""
    one, other = rng.choice(texts), rng.choice(texts)
    words = one[: rng.randint(0, len(one))] + other[rng.randint(0, len(other)) :] or one
    return " ".join(rng.choice(rng.choice(texts)) if rng.random() < 0.33 else word for word in words)


def near_threshold(rng: random.Random, text: str) -> list[str]:
    """Variants of a text whose ROUGE-L F with it is the threshold, or the next possible value below or above it."""
    words = tokenize(text, None)
    variants = []
    for length in range(max(3, len(words) // 2), len(words) * 2):
        total = len(words) + length
        for common in {int(total * THRESHOLD / 2), int(total * THRESHOLD / 2) + 1}:
            if common <= min(len(words), length):
                kept = sorted(rng.sample(range(len(words)), common))
                new = [f"zz{i}" for i in range(length - common)]
                variants.append(" ".join([words[i] for i in kept] + new))
    return variants


def peer_decisions(pool: Sequence[str], new: Sequence[str]) -> list[bool]:
    known = [tokenize(text, None) for text in pool]
    decisions = []
    for text in new:
        tokens = tokenize(text, None)
        novel = all(rouge_scorer._score_lcs(tokens, other).fmeasure <= THRESHOLD for other in known)
        decisions.append(novel)
        known += [tokens] if novel else []
    return decisions


def peer_seconds_per_pair(rng: random.Random, pool: Sequence[str], new: Sequence[str], pairs: int) -> float:
    sample = [(tokenize(rng.choice(new), None), tokenize(rng.choice(pool), None)) for _ in range(pairs)]
    start = time.perf_counter()
    for one, other in sample:
        rouge_scorer._score_lcs(one, other)
    return (time.perf_counter() - start) / pairs


def run(new_count: int, pool_count: int, peer_pairs: int = 20_000) -> dict[str, object]:
    rng = random.Random(0)
    texts = sources(rng)
    pool = [blend(rng, texts) for _ in range(pool_count)]
    new = [blend(rng, texts) for _ in range(new_count)]

    start = time.perf_counter()
    index = NoveltyIndex(THRESHOLD, pool)
    verdicts = index.check_many(new)
    seconds = time.perf_counter() - start

    cores = os.cpu_count() or 1
    accepted = sum(verdict.is_novel for verdict in verdicts)
    pairs = new_count * pool_count + accepted * new_count // 2
    peer = peer_seconds_per_pair(rng, pool, new, peer_pairs) * pairs / cores

    few = [text for text in pool if 8 <= len(text.split()) <= 30][:60]
    close = [variant for text in few[:20] for variant in near_threshold(rng, text)] + new[:200]
    rng.shuffle(close)
    ours = NoveltyIndex(THRESHOLD, few).check_many(close)
    same = [verdict.is_novel for verdict in ours] == peer_decisions(few, close)
    at_threshold = sum(abs(verdict.score - THRESHOLD) < 1e-9 for verdict in ours)
    return {
        "name": "novelty",
        "ours": round(seconds, 2),
        "peer": round(peer, 1),
        "ratio": round(peer / seconds),
        "target": TARGET_SECONDS,
        "holds": seconds < TARGET_SECONDS and same,
        "unit": "s",
        "n": new_count,
        "pool": pool_count,
        "pairs": pairs,
        "cores": cores,
        "novel": accepted,
        "peer_is": f"rouge_score's LCS, {peer_pairs} pairs timed on one core, scaled to all pairs and divided by the cores",
        "decisions_compared": len(close),
        "decisions_identical": same,
        "scores_exactly_at_threshold": at_threshold,
        "texts": "blends of real instructions, a third of the words replaced" if _REAL.exists() else "invented words",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--new", type=int, default=6_000)
    parser.add_argument("--pool", type=int, default=52_000)
    options = parser.parse_args()
    print(json.dumps(run(options.new, options.pool)))


if __name__ == "__main__":
    main()
