"""How quick is the threshold page with 200,000 scored items?

python -m bench.what_if [--judged 200000] [--folder FOLDER] [--requests 60]

Builds a database, starts the web server as ./lion up does, and asks it over HTTP as a signed-in person. Each exact
what-if asks for another threshold, most of them between the edges of the bins; the answers are compared with a plain
count. Then the threshold is applied, and asked again before the database has tidied up after it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.site import Case, Site, cookie_of, expect_page, measure, running_site

TARGET_MILLISECONDS = 100.0


def build_once(judged: int) -> float:
    """Seconds; 0 where the folder has the rows already."""
    import django

    django.setup()
    from bench.pages_data import Sizes, build
    from lionweb.models import Experiment, Stage, StageKind, StageStatus

    if Experiment.objects.filter(name="Bench").exists():
        return 0.0
    began = time.perf_counter()
    iteration = build(Sizes(judged, judged)).iterations.get()
    for position, kind in enumerate(StageKind, 1):
        done = StageStatus.SUCCEEDED if position <= 4 else StageStatus.PENDING
        Stage.objects.create(iteration=iteration, kind=kind, position=position, status=done)
    return time.perf_counter() - began


def cases(seed: int = 0) -> list[Case]:
    from lionweb.models import Experiment

    root = f"/experiments/{Experiment.objects.get(name='Bench').pk}/threshold/"
    noise = random.Random(seed)
    taus = [round(noise.uniform(-4, 5), 3) for _ in range(40)]
    return [
        Case("exact what-if", [f"{root}what-if/?tau={tau}" for tau in taus]),
        Case("data of the page", [f"{root}data/"]),
        Case("page", [root]),
    ]


def wrong_answers(site: Site, case: Case) -> int:
    """How many of the first answers are not what counting the rows gives."""
    import gzip

    from lionweb.models import Classification

    wrong = 0
    for path in case.paths[:5]:
        body = expect_page(site, path)
        found = json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        rows = Classification.objects.filter(pool="cache")
        by_people = rows.filter(person_kind="hard").count()
        hard = rows.filter(gap__gte=found["tau"])
        final = hard.filter(person_kind="").count() + by_people
        wrong += [found["referee"]["hard"], found["final"]["hard"]] != [hard.count(), final]
    return wrong


def apply_seconds(tau: float) -> tuple[float, int]:
    from lionweb.models import Experiment, User
    from lionweb.services.thresholds import apply_threshold

    iteration = Experiment.objects.get(name="Bench").iterations.get()
    began = time.perf_counter()
    changed = apply_threshold(
        iteration=iteration, actor=User.objects.get(username="reader"), tau=tau if iteration.tau != tau else 1.0
    )
    return time.perf_counter() - began, changed


def run(folder: Path, *, judged: int, requests: int) -> dict[str, Any]:
    os.environ |= {"LIONWEB_HOME": str(folder), "DJANGO_SETTINGS_MODULE": "lionweb.settings"}
    built: list[float] = []
    with running_site(folder, lambda: built.append(build_once(judged))) as (port, _):
        site = Site(port, cookie_of("reader"))
        asked = cases()
        for case in asked:
            measure(site, case, requests)
        wrong = wrong_answers(site, asked[0])
        seconds, changed = apply_seconds(2.0)
        after = Case("exact what-if after applying", asked[0].paths)
        measure(Site(port, site.cookie), after, requests)  # the idle connection may be closed by now
    return _result([*asked, after], judged, wrong, seconds, changed, built[0])


def _result(
    found: list[Case], judged: int, wrong: int, seconds: float, changed: int, build_seconds: float
) -> dict[str, Any]:
    exact = found[0]
    return {
        "name": "what_if",
        "ours": round(exact.p95, 1),
        "target": TARGET_MILLISECONDS,
        "holds": exact.p95 < TARGET_MILLISECONDS and not wrong,
        "unit": "ms, p95 of an exact what-if over HTTP",
        "n": judged,
        "p50_milliseconds": {case.name: round(statistics.median(case.milliseconds), 1) for case in found},
        "p95_milliseconds": {case.name: round(case.p95, 1) for case in found},
        "bytes_packed": {case.name: case.largest_bytes for case in found},
        "wrong_answers": wrong,
        "apply_seconds": round(seconds, 2),
        "apply_changed": changed,
        "cores": os.cpu_count(),
        "build_seconds": round(build_seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judged", type=int, default=200_000)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--folder", type=Path, help="keep the database here and use it again")
    options = parser.parse_args()
    sizes = {name: getattr(options, name) for name in ("judged", "requests")}
    if options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(run(options.folder.resolve(), **sizes)))
        return
    with tempfile.TemporaryDirectory(prefix="lionweb-bench-") as name:
        print(json.dumps(run(Path(name).resolve(), **sizes)))


if __name__ == "__main__":
    main()
