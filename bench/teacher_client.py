"""How close to ideal are many teacher calls, and is any reply lost or paid for twice?

python -m bench.teacher_client [--n 2000] [--case clean|faults|killed|replies]

All cases run against the shared mock (300 ms replies, 64 calls at once) with the engine's ChatClient and, in the same
run, with the loop that people write: AsyncOpenAI with its defaults behind a semaphore. The peer's time-out is lowered
from 600 to 30 s, so that its hung calls end within the run. Ideal: n x 0.3 s / 64.

clean    no faults: wall over ideal
faults   the server takes 48 calls at once (429 above), 2 % are 500s, 1 % hang: wall over ideal
killed   kill -9 half way and started again: replies paid for a second time
replies  3 % each broken off, empty and cut at the token limit: replies lost, wrong or paid for twice
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from openai import AsyncOpenAI, OpenAIError

from bench.report import report, show
from distill.client import ChatClient
from distill.records import CallOutcome, ChatRequest, Endpoint, Finish, Purpose, Sampling
from tests.mock_server import MOCK, Mock, mock_process

WIDTH, LATENCY_SECONDS, PEER_TIMEOUT_SECONDS = 64, 0.3, 30.0
FAULTS = ["--max-concurrent", "48", "--p-500", "0.02", "--p-hang", "0.01"]
REPLY_FAULTS = ["--p-truncate", "0.03", "--p-empty", "0.03", "--p-length", "0.03"]
Result = dict[str, tuple[str, str]]  # key: text, finish


def prompts(n: int) -> dict[str, str]:
    return {str(i): f"Instruction {i}: explain in a few sentences why number {i} is of interest." for i in range(n)}


def endpoint(mock: Mock) -> Endpoint:
    return Endpoint(mock.base_url, "mock-teacher", "bench-key", max_concurrency=WIDTH)


async def ask_ours(mock: Mock, wanted: dict[str, str], store: Path | None = None) -> tuple[Result, list[CallOutcome]]:
    requests = (
        ChatRequest(key, ({"role": "user", "content": text},), Sampling(), Purpose.ANSWER)
        for key, text in wanted.items()
    )
    outcomes: list[CallOutcome] = []
    async with ChatClient(endpoint(mock)) as client:
        async for outcome in client.stream(requests):
            outcomes.append(outcome)
            if store is not None and outcome.completion is not None:
                append(store, outcome.key, outcome.completion.text)
    replies = {one.key: (one.completion.text, str(one.completion.finish)) for one in outcomes if one.completion}
    return replies, outcomes


def append(store: Path, key: str, text: str) -> None:
    with store.open("a", encoding="utf-8") as file:
        file.write(json.dumps([key, text]) + "\n")


async def ask_peer(mock: Mock, wanted: dict[str, str]) -> Result:
    """The loop of many scripts: gather over a semaphore, a failed call is caught and left out."""
    gate = asyncio.Semaphore(WIDTH)
    client = AsyncOpenAI(base_url=mock.base_url, api_key="bench-key", timeout=PEER_TIMEOUT_SECONDS)

    async def one(key: str, text: str) -> tuple[str, tuple[str, str]] | None:
        async with gate:
            try:
                reply = await client.chat.completions.create(
                    model="mock-teacher", messages=[{"role": "user", "content": text}], max_tokens=1024, temperature=0.7
                )
            except (OpenAIError, ValueError):
                return None
        return key, (reply.choices[0].message.content or "", str(reply.choices[0].finish_reason))

    async with client:
        found = await asyncio.gather(*[one(key, text) for key, text in wanted.items()])
    return dict(row for row in found if row is not None)


def timed(mock: Mock, run: Any, n: int) -> dict[str, Any]:
    """Wall over ideal, with what was lost and overpaid."""
    started_at, cpu = time.perf_counter(), time.process_time()
    result = asyncio.run(run(mock, prompts(n)))
    wall = time.perf_counter() - started_at
    replies = result[0] if isinstance(result, tuple) else result
    stats = mock.stats()
    return {
        "x_ideal": wall / (n * LATENCY_SECONDS / WIDTH),
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(time.process_time() - cpu, 2),
        "lost": n - len(replies),
        "overspend": stats["overspend"],
        "rate_limited": stats["r429"],
    }


def speed_case(name: str, n: int, target: float, flags: list[str]) -> dict[str, Any]:
    with mock_process(*flags) as mock:
        ours = timed(mock, ask_ours, n)
    with mock_process(*flags) as mock:
        peer = timed(mock, ask_peer, n)
    holds = ours["x_ideal"] <= target and ours["lost"] == 0 and ours["overspend"] == 0
    a, b = ours["x_ideal"], peer["x_ideal"]
    extra = {"ours_detail": ours, "peer_detail": peer}
    return report(name, ours=a, peer=b, ratio=b / a, target=target, holds=holds, unit="x ideal", n=n, **extra)


def killed_case(n: int) -> dict[str, Any]:
    ours, lost = killed(n, "ours")
    peer, _ = killed(n, "peer")
    holds = ours <= WIDTH and lost == 0
    ratio = peer / max(ours, 1)
    return report(
        "killed",
        ours=ours,
        peer=peer,
        ratio=ratio,
        target=WIDTH,
        holds=holds,
        unit="replies paid again",
        n=n,
        lost=lost,
    )


def killed(n: int, who: str) -> tuple[int, int]:
    """Kill a worker half way, start it again; replies paid twice and prompts without one."""
    with tempfile.TemporaryDirectory() as folder, mock_process() as mock:
        store = Path(folder, "store.jsonl")
        command = [sys.executable, "-m", "bench.teacher_client", "--worker", who, mock.base_url, str(store), str(n)]
        worker = subprocess.Popen(command)
        while mock.stats()["paid"] < n / 2 and worker.poll() is None:
            time.sleep(0.02)
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait()
        subprocess.run(command, check=True)
        return mock.stats()["overspend"], n - len(stored(store))


def stored(store: Path) -> dict[str, str]:
    """What a killed worker left; a line it was writing when it died is no answer."""
    found: dict[str, str] = {}
    for line in store.read_text(encoding="utf-8").splitlines() if store.exists() else []:
        try:
            key, text = json.loads(line)
        except ValueError:
            continue
        found[key] = text
    return found


def work(who: str, url: str, store: Path, n: int) -> None:
    have = stored(store)
    if store.exists() and not store.read_bytes().endswith(b"\n"):
        store.write_text("".join(json.dumps(row) + "\n" for row in have.items()), encoding="utf-8")
    wanted = {key: text for key, text in prompts(n).items() if key not in have}
    if who == "ours":
        asyncio.run(ask_ours(Mock(url), wanted, store))
        return
    for key, (text, _) in asyncio.run(ask_peer(Mock(url), wanted)).items():  # saves at the end, as such scripts do
        append(store, key, text)


def replies_case(n: int) -> dict[str, Any]:
    found = {}
    for mode in ("body", "connection"):
        flags = [*REPLY_FAULTS, "--truncate-mode", mode]
        with mock_process(*flags) as mock:
            replies, outcomes = asyncio.run(ask_ours(mock, prompts(n)))
            found[f"ours_{mode}"] = faults_of(replies, n) | {"overspend": mock.stats()["overspend"]}
            found[f"ours_{mode}"]["finishes"] = finishes(outcomes)
    with mock_process(*REPLY_FAULTS) as mock:
        replies = asyncio.run(ask_peer(mock, prompts(n)))
        found["peer_body"] = faults_of(replies, n) | {"overspend": mock.stats()["overspend"]}
    ours = float(sum(found[one][key] for one in ("ours_body", "ours_connection") for key in BAD))
    peer = float(sum(found["peer_body"][key] for key in BAD))
    extra = {"unit": "replies lost, wrong or paid twice", **found}
    return report("replies", ours=ours, peer=peer, ratio=peer / max(ours, 1), target=0, holds=ours == 0, n=n, **extra)


BAD = ("lost", "wrong", "overspend")


def finishes(outcomes: list[CallOutcome]) -> dict[str, int]:
    kinds = [str(one.completion.finish) for one in outcomes if one.completion]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def faults_of(replies: Result, n: int) -> dict[str, int]:
    """Lost: no outcome. Wrong: passed off as complete but not the full text, or not even its beginning."""
    truth = true_texts(n)
    wrong = sum(
        not (text == truth[key] if finish == Finish.STOP else truth[key].startswith(text))
        for key, (text, finish) in replies.items()
    )
    return {"lost": n - len(replies), "wrong": wrong}


def true_texts(n: int) -> dict[str, str]:
    mock = load_mock()
    args = mock.parse_args([])
    texts = {}
    for key, text in prompts(n).items():
        messages = [{"role": "user", "content": text}]
        texts[key] = mock.reply_text(messages, mock.prompt_hash(messages), args)
    return texts


def load_mock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mock_openai", MOCK)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--case", choices=("clean", "faults", "killed", "replies"))
    parser.add_argument("--worker", nargs=4, metavar=("WHO", "URL", "STORE", "N"), help="used by the case 'killed'")
    args = parser.parse_args()
    if args.worker:
        who, url, store, n = args.worker
        return work(who, url, Path(store), int(n))
    if not MOCK.exists():
        sys.exit(f"The mock server {MOCK} is not there.")
    gc.freeze()  # for both sides, as our workers do: else Python walks through all modules during the calls
    cases = {
        "clean": lambda: speed_case("clean", args.n, 1.05, []),
        "faults": lambda: speed_case("faults", args.n, 1.9, FAULTS),
        "killed": lambda: killed_case(args.n),
        "replies": lambda: replies_case(args.n),
    }
    results = [run() for name, run in cases.items() if args.case in (None, name)]
    top = next((one for one in results if one["name"] == "faults"), results[0])
    figures = {key: top[key] for key in ("ours", "peer", "ratio", "target", "unit", "n")}
    holds = all(one["holds"] for one in results)
    note = f"The peer's time-out was lowered from 600 to {PEER_TIMEOUT_SECONDS:.0f} s; headline: case {top['name']}."
    return show(report("teacher_client", **figures, holds=holds, note=note, cases=results))


if __name__ == "__main__":
    main()
