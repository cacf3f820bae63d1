"""The parent's side of a training process: start it, pass its events on, and say in plain words how it ended."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from distill.checkpoints import disk_full_said
from distill.errors import DistillError, OutOfMemory, SettingsError, TrainingError
from distill.training_job import EXIT_STOPPED, OUT_OF_MEMORY_ADVICE, WATCH_PARENT, TrainingJob

LOG = "training.log"
STOP_PATIENCE_SECONDS = 300.0  # for the step under way and the resume point; then the process is killed
_POLL_SECONDS = 0.2
_PATIENCE_AT_END_SECONDS = 60.0
_KILLED = (-signal.SIGKILL, 128 + signal.SIGKILL)


class TrainingStopped(DistillError):
    """Training was asked to stop. Running the same job again goes on from its resume point."""

    code = "stopped"


def run_training(
    job: TrainingJob, *, on_event: Callable[[dict[str, Any]], None], should_stop: Callable[[], bool]
) -> dict[str, Any]:
    """Run the job in its own process until it is done; returns its "done" event.

    `on_event` gets every event, in order. After a resume, metrics of steps behind the resume point come again.
    `should_stop` is asked several times a second. Raises TrainingStopped, or the error that the process told of.
    """
    with disk_full_said(Path(job.work)):
        process = _start(job)
    last: dict[str, Any] = {}
    try:
        for event in _events(process, should_stop):
            on_event(event)
            if event["event"] in ("done", "error", "stopped"):
                last = event
        process.wait(timeout=_PATIENCE_AT_END_SECONDS)
    finally:
        _end(process)
    return _outcome(process.returncode, last, Path(job.work) / LOG)


def _start(job: TrainingJob) -> subprocess.Popen[str]:
    work = Path(job.work)
    work.mkdir(parents=True, exist_ok=True)
    job.write(work / "job.json")
    with (work / LOG).open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [*_launcher(gpu_count()), "distill.imitation", str(work / "job.json"), WATCH_PARENT],
            stdin=subprocess.PIPE,  # never written to: it closes when we die, and the process ends
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=_environment(job),
            start_new_session=True,  # a Ctrl-C in the terminal reaches us alone; we then stop it properly
        )


def _launcher(gpus: int) -> list[str]:
    if gpus < 2:
        return [sys.executable, "-m"]
    options = ["--multi_gpu", "--num_processes", str(gpus), "--num_machines", "1", "--mixed_precision", "no"]
    return [sys.executable, "-m", "accelerate.commands.launch", *options, "--module"]


def gpu_count() -> int:
    """NVIDIA GPUs that the process may use, counted without torch."""
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        return len(visible.split(","))
    if not shutil.which("nvidia-smi"):
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=30)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


def _environment(job: TrainingJob) -> dict[str, str]:
    root = str(Path(__file__).resolve().parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    chosen = {"PYTHONPATH": os.pathsep.join(paths), "TOKENIZERS_PARALLELISM": "false"}
    return {**os.environ, **chosen, **({"OMP_NUM_THREADS": str(job.threads)} if job.threads else {})}


def _events(process: subprocess.Popen[str], should_stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Events until stdout ends. Once asked to stop, the process has STOP_PATIENCE_SECONDS to save and leave."""
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    kill_at = float("inf")
    while True:
        if kill_at == float("inf") and should_stop():
            process.send_signal(signal.SIGTERM)
            kill_at = time.monotonic() + STOP_PATIENCE_SECONDS
        if time.monotonic() > kill_at:
            process.kill()
            raise _stopped()
        try:
            line = lines.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
        if line is None:
            return
        yield json.loads(line)


def _read(process: subprocess.Popen[str], lines: queue.Queue[str | None]) -> None:
    for line in process.stdout or ():
        lines.put(line)
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """Leave nothing behind, also when `on_event` or `should_stop` raised: closing stdin ends the process."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    try:
        process.wait(timeout=_PATIENCE_AT_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _outcome(code: int, last: dict[str, Any], log: Path) -> dict[str, Any]:
    if last.get("event") == "error":
        raise rebuilt(last["error"])
    if last.get("event") == "done":
        return last
    if last or code in (EXIT_STOPPED, -signal.SIGTERM):  # a launcher in between has exit codes of its own
        raise _stopped()
    if code in _KILLED:
        raise OutOfMemory(
            "The training process was killed by the system, most likely because memory ran out.", OUT_OF_MEMORY_ADVICE
        )
    raise TrainingError(f"The training process ended with code {code}: {_last_line(log)}", f"The log is {log}.")


def _stopped() -> TrainingStopped:
    return TrainingStopped("Training was stopped.", "Start the stage again: it goes on from its last resume point.")


def rebuilt(error: dict[str, str]) -> DistillError:
    """The error that a process described by `DistillError.as_dict`."""
    kinds = {kind.code: kind for kind in reversed(list(_family(DistillError)))}
    kind = kinds.get(error["code"], TrainingError)
    if issubclass(kind, SettingsError):
        field, _, cause = error["cause"].partition(": ")
        return kind(field, cause)
    return kind(error["cause"], error["advice"])


def _family(kind: type[DistillError]) -> Iterator[type[DistillError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def _last_line(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4000))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it wrote no reason."
