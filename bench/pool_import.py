"""How many rows a second does the import of a JSONL pool take, and how much memory?

python -m bench.pool_import [--rows 200000]

Into an empty installation as ./lion up makes it, whose database waits for the disk. A first import of a tenth of the rows
says what the program needs anyway; what a large one needs beyond that must not grow with the file.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET_ROWS, TARGET_GROWTH_MB = 20_000.0, 64.0
WORDS = 20_000


def rows(count: int, seed: int) -> Iterator[dict[str, str]]:
    """Texts as long as Alpaca's, of words by Zipf's law; a third with an input, two thirds with an output."""
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghilmnoprstu", k=rng.randint(2, 10))) for _ in range(WORDS)]
    weights = [1 / (n + 3) for n in range(WORDS)]
    for number in range(count):
        drawn = rng.choices(words, weights, k=70)
        row = {"instruction": f"{' '.join(drawn[: 6 + number % 12])} {seed}/{number}"}
        row["input"] = " ".join(drawn[20:36]) if number % 3 == 0 else ""
        row |= {"category": f"category {number % 30}", "language": "en"}
        yield row | ({"output": " ".join(drawn[30:])} if number % 3 else {})


def written(folder: Path, count: int, seed: int) -> Path:
    path = folder / f"pool-{seed}.jsonl"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows(count, seed))
    return path


def imported(path: Path, name: str) -> float:
    """Seconds."""
    from lionweb.services.pools import import_pool

    began = time.perf_counter()
    with path.open("rb") as stream:
        import_pool(stream=stream, filename=path.name, name=name, kind="seed", actor=None, keep_good=False)
    return time.perf_counter() - began


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(count: int) -> dict[str, Any]:
    from lionweb.local import folders, running
    from lionweb.local.stack import Plan
    from lionweb.local.supervisor import Supervisor

    with tempfile.TemporaryDirectory(prefix="lionweb-bench-") as name:
        folder = Path(name).resolve()
        small, large = written(folder, count // 10, seed=1), written(folder, count, seed=2)
        folders.prepare(folder)
        supervisor = Supervisor(folder, lambda _: None, lambda _: None)
        with running.held_lock(folder):
            try:
                supervisor.start(Plan(folder, environment={}).services())
                return _measured(folder, small, large, count)
            finally:
                supervisor.stop()
                folders.drop_short(folder)


def _measured(folder: Path, small: Path, large: Path, count: int) -> dict[str, Any]:
    os.environ |= {"LIONWEB_HOME": str(folder), "DJANGO_SETTINGS_MODULE": "lionweb.settings"}
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)
    first = imported(small, "Small")
    before = peak_mb()
    seconds = imported(large, "Large")
    grown = peak_mb() - before
    return {
        "name": "pool_import",
        "ours": round(count / seconds),
        "target": TARGET_ROWS,
        "holds": count / seconds >= TARGET_ROWS and grown < TARGET_GROWTH_MB,
        "unit": "rows/s",
        "n": count,
        "seconds": round(seconds, 2),
        "small_rows_per_second": round(count / 10 / first),
        "file_mb": round(large.stat().st_size / 2**20, 1),
        "peak_memory_mb": round(peak_mb(), 1),
        "memory_grown_mb": round(grown, 1),
        "cores": os.cpu_count(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    print(json.dumps(run(parser.parse_args().rows)))


if __name__ == "__main__":
    main()
