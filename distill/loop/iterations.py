"""Drives iterations through their stages. What the files hold already is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from distill.loop.answers import student_answers, teacher_answers
from distill.loop.candidates import generate
from distill.loop.outcome import RESULT, outcome_of
from distill.loop.progress import Paused
from distill.loop.reviews import compared, review
from distill.loop.run import Run
from distill.loop.training import train
from distill.loop.verdicts import classify

Stage = Callable[[Run, int], None]


def answer(run: Run, iteration: int) -> None:
    teacher_answers(run, run.pools.train_and_heldout(iteration))


def compare(run: Run, iteration: int) -> None:
    teacher_answers(run, run.pools.cache_and_heldout(iteration))
    for one in compared(run, iteration):
        student_answers(run, one.checkpoint, one.instructions)


def judge(run: Run, iteration: int) -> None:
    review(run, iteration)
    classify(run, iteration)


STAGES: dict[str, Stage] = {
    "answer": answer,
    "train": train,
    "compare": compare,
    "judge": judge,
    "generate": generate,
}


def run_iterations(run: Run, iterations: int) -> dict[str, Any]:
    """Run until `iterations` are done, and write result.json, also where it ends early. Returns what is in it."""
    status = "failed"
    try:
        for number in range(1, iterations + 1):
            for name in STAGES:
                _run_stage(run, number, name, iterations)
            run.folder.write(RESULT, outcome_of(run, iterations, "running"))
        status = "succeeded"
    except (Paused, KeyboardInterrupt):
        status = "paused"
        raise
    finally:
        result = outcome_of(run, iterations, status)
        run.folder.write(RESULT, result)
    return result


def _run_stage(run: Run, number: int, name: str, iterations: int) -> None:
    rows = run.folder.stages.rows
    if any(row["iteration"] == number and row["stage"] == name and row["finished"] for row in rows):
        return
    if run.should_stop():
        raise Paused
    run.say(f"Iteration {number} of {iterations}: {name}")
    run.calls.iteration = number
    with _timed(run, number, name):
        STAGES[name](run, number)


@contextmanager
def _timed(run: Run, number: int, name: str) -> Iterator[None]:
    started_at, finished = time.monotonic(), False
    try:
        yield
        finished = True
    finally:
        seconds = round(time.monotonic() - started_at, 3)
        run.folder.stages.append({"iteration": number, "stage": name, "seconds": seconds, "finished": finished})
