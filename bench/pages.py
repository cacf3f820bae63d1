"""How quick are the pages with a million instructions?

python -m bench.pages [--instructions 1000000] [--judged 200000] [--folder FOLDER] [--requests 60] [--seconds 15]

Builds a database (minutes), starts the web server as ./lion up does, and asks it over HTTP as a signed-in person, who
takes gzip as browsers do. Each case asks for several pages of its kind in turn; the first of each is not counted. With
--folder the database is kept there and used again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.pages_review import all_at_once, open_gate, review_cases
from bench.site import Case, Site, cookie_of, expect_page, measure, memory_of, running_site

TARGET_MILLISECONDS, TARGET_PAGES, TARGET_BYTES = 60.0, 80.0, 1_000_000
CLIENTS = 8


def list_cases(instructions: int) -> list[Case]:
    """The pool browser: first and deep pages, every filter, searches, orders."""
    from bench.pages_data import CATEGORIES, COMMON, RARE
    from lionweb.models import Experiment, User

    experiment, person = Experiment.objects.get(name="Bench"), User.objects.get(username="reviewer0")
    judged = f"experiment={experiment.pk}"
    middle = instructions // 2
    queries: dict[str, Sequence[str]] = {
        "first page": ["", f"pool={experiment.pool_id}", judged],
        "page 10,000": [f"after={middle + 50 * n}:{middle + 50 * n}&sort=id" for n in range(20)],
        "page 10,000 of a pool": [f"pool={experiment.pool_id}&after={middle}:{middle + 50 * n}" for n in range(20)],
        "pool": [f"pool={experiment.pool_id}"],
        "its pool": [f"{judged}&member={pool}" for pool in ("cache", "train")],
        "source": [f"{judged}&source={source}" for source in ("seed", "hard", "easy")],
        "verdict": [f"{judged}&verdict={verdict}" for verdict in ("hard", "easy", "unscored")],
        "decision": [f"{judged}&decision={kind}" for kind in ("any", "none", "easy", "unsafe")],
        "reviewer": [f"{judged}&reviewer={person.pk}"],
        "flagged and other states": [f"{judged}&review={state}" for state in ("flagged", "pending", "overridden")],
        "iteration": [f"{judged}&iteration=1"],
        "gap range": [f"{judged}&gap_from={n / 2}&gap_to={n / 2 + 0.4}" for n in range(-8, 9)],
        "score range": [f"{judged}&teacher_from={n}&teacher_to={n + 1}&student_to=3" for n in range(1, 10)],
        "category": [f"category={name.replace(' ', '+')}" for name in CATEGORIES[1:20]],
        "language": [f"language={name}" for name in ("en", "de", "zh")],
        "category and language": [f"category={name.replace(' ', '+')}&language=de" for name in CATEGORIES[1:20]],
        "length range": [f"length_from={n}&length_to={n + 20}" for n in range(20, 400, 20)] + ["length_from=2000"],
        "rare word": [f"q={RARE}", "q=notthereatall"],
        "common word": [f"q={COMMON}", "q=common7", f"q={COMMON}+common1"],
        "phrase": [f"q=%22{COMMON}+common1%22", "q=%22common3+common5%22"],
        "without": [f"q=common3+-{COMMON}"],
        "part of a word": ["q=*okkaz*", "q=*mmon1*"],
        "misspelt word": ["q=quokazebra"],
        "common word in an experiment": [f"{judged}&q={COMMON}&verdict=hard&sort=-gap"],
        "by gap": [f"{judged}&sort=-gap", f"{judged}&sort=gap", f"{judged}&sort=-gap&verdict=hard"],
        "by score": [f"{judged}&sort=-teacher", f"{judged}&sort=student"],
        "by length": ["sort=-length", f"{judged}&sort=-length"],
        "by text": ["sort=text", f"pool={experiment.pool_id}&sort=-text"],
        "by category": ["sort=category", f"{judged}&sort=category"],
        "all columns": [f"{judged}&cols=" + ",".join(_all_columns())],
    }
    return [Case(name, [f"/instructions/?{query}" for query in found]) for name, found in queries.items()]


def _all_columns() -> list[str]:
    from lionweb.selectors.browser_state import COLUMNS

    return list(COLUMNS)


def instruction_case(instructions: int) -> Case:
    return Case("one instruction", [f"/instructions/{1 + n * (instructions // 50)}/" for n in range(50)])


def pages_per_second(port: int, cookie: str, instructions: int, seconds: float) -> float:
    """List pages that CLIENTS clients get in all, each in a process of its own, at places of its own."""
    with multiprocessing.get_context("spawn").Pool(CLIENTS) as pool:
        work = [(port, cookie, instructions * n // CLIENTS, seconds) for n in range(CLIENTS)]
        return sum(pool.map(_read_on, work, chunksize=1))


def _read_on(work: tuple[int, str, int, float]) -> float:
    port, cookie, place, seconds = work
    site, count = Site(port, cookie), 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        expect_page(site, f"/instructions/?after={place}:{place}&sort=id")
        place, count = place + 50, count + 1
    return count / (time.perf_counter() - began)


def build_once(instructions: int, judged: int) -> float:
    """Seconds; 0 where the folder has the rows already."""
    import django

    django.setup()
    from bench.pages_data import Sizes, build
    from lionweb.models import Experiment
    from lionweb.services.words import read_words

    if Experiment.objects.filter(name="Bench").exists():
        return 0.0
    began = time.perf_counter()
    build(Sizes(instructions, judged))
    read_words()
    return time.perf_counter() - began


def run(folder: Path, *, instructions: int, judged: int, requests: int, seconds: float) -> dict[str, Any]:
    os.environ |= {"LIONWEB_HOME": str(folder), "DJANGO_SETTINGS_MODULE": "lionweb.settings"}
    built: list[float] = []
    with running_site(folder, lambda: built.append(build_once(instructions, judged))) as (port, pid):
        cookie = cookie_of("reader")
        site = Site(port, cookie)
        cases = [*list_cases(instructions), instruction_case(instructions)]
        for case in cases:
            measure(site, case, requests)
        queue = open_gate()
        cases += review_cases(port, queue, requests)
        together = all_at_once(port, queue, verdicts=10)
        pages_per_second(port, cookie, instructions, min(seconds, 5.0))  # so that every thread has worked once
        before = memory_of(pid)
        rate = pages_per_second(port, cookie, instructions, seconds)
        after = memory_of(pid)
    return _result(cases, rate, before, after, instructions, built[0], together)


def _result(
    cases: Sequence[Case],
    rate: float,
    before: int,
    after: int,
    instructions: int,
    build_seconds: float,
    together: dict[str, Any],
) -> dict[str, Any]:
    worst = max(case.p95 for case in cases)
    largest = max(case.largest_bytes for case in cases)
    grown = after / before - 1
    safe = together["verdicts"] == together["wanted"] and not together["lost"] and not together["assigned_twice"]
    quick = worst < TARGET_MILLISECONDS and rate >= TARGET_PAGES
    return {
        "name": "pages",
        "ours": round(worst, 1),
        "target": TARGET_MILLISECONDS,
        "holds": quick and safe and largest < TARGET_BYTES and grown < 0.1,
        "unit": "ms, p95 of the slowest kind of page",
        "n": instructions,
        "p95_milliseconds": {case.name: round(case.p95, 1) for case in cases},
        "median_milliseconds": {case.name: round(statistics.median(case.milliseconds), 1) for case in cases},
        "list_pages_per_second": round(rate, 1),
        "target_pages_per_second": TARGET_PAGES,
        "clients": CLIENTS,
        "cores": os.cpu_count(),
        "reviewers_at_once": together,
        "largest_page_bytes_packed": largest,
        "memory_before_mb": round(before / 2**20, 1),
        "memory_after_mb": round(after / 2**20, 1),
        "build_seconds": round(build_seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=int, default=1_000_000)
    parser.add_argument("--judged", type=int, default=200_000)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--folder", type=Path, help="keep the database here and use it again")
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in ("instructions", "judged", "requests", "seconds")}
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(run(options.folder.resolve(), **sizes)))
        return
    with tempfile.TemporaryDirectory(prefix="lionweb-bench-") as name:
        print(json.dumps(run(Path(name).resolve(), **sizes)))


if __name__ == "__main__":
    sys.exit(main())
