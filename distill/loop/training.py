"""Imitation: the student is trained on the teacher's responses, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from typing import Any

from distill.errors import TrainingError
from distill.loop.answers import teacher_response
from distill.loop.progress import Count, Paused, Say
from distill.loop.run import Run
from distill.records import Finish, Instruction, TrainingExample
from distill.training_client import TrainingStopped, run_training
from distill.training_files import HELDOUT_FINISHES, trainable_finishes, write_examples
from distill.training_job import TrainingJob


def train(run: Run, iteration: int) -> None:
    if run.checkpoints.find(iteration) is not None:
        return
    try:
        run_training(_job(run, iteration), on_event=_on_event(run, iteration), should_stop=run.should_stop)
    except TrainingStopped as stopped:
        raise Paused from stopped


def heldout_losses(run: Run, iteration: int) -> dict[str, float]:
    """ "before" and "after", as far as they were measured."""
    rows = (row for row in run.folder.training.rows if row["iteration"] == iteration and row["event"] == "heldout")
    return {row["when"]: row["loss"] for row in rows}


def _job(run: Run, iteration: int) -> TrainingJob:
    folder = (run.folder.path / "training" / f"iteration-{iteration}").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    train_file, heldout_file = folder / "train.jsonl", folder / "heldout.jsonl"
    usable = trainable_finishes(run.settings.training)
    if not write_examples(train_file, _examples(run, run.pools.train(iteration), usable)):
        raise TrainingError(
            "No teacher response can be trained on: all are cut, empty or missing.",
            "Raise the teacher's token limit, or allow training on cut answers (training.train_on_cut).",
        )
    some_heldout = write_examples(heldout_file, _examples(run, run.pools.heldout, HELDOUT_FINISHES))
    return TrainingJob(
        base=run.settings.student.base,
        home=str(run.home),
        adapter=_warm_start(run, iteration),
        output=str(run.checkpoints.path(iteration)),
        work=str(folder / "work"),
        train_file=str(train_file),
        heldout_file=str(heldout_file) if some_heldout else None,
        settings=asdict(run.settings.training),
        template=run.settings.student.template,
        system_prompt=run.settings.teacher.system_prompt,
        seed=run.settings.seed,
        threads=run.threads,
    )


def _examples(run: Run, pool: Iterable[Instruction], finishes: tuple[Finish, ...]) -> Iterator[TrainingExample]:
    """By content, so that the order of training does not depend on the order of the pool's file."""
    for one in sorted(pool, key=lambda instruction: instruction.content_hash):
        response = teacher_response(run, one)
        if response is not None and response.text and response.finish in finishes:
            yield TrainingExample(one, response.text, response.finish == Finish.STOP)


def _warm_start(run: Run, iteration: int) -> str | None:
    if not run.settings.training.warm_start or iteration == 1:
        return None
    return str(run.checkpoints.get(iteration - 1).path)


def _on_event(run: Run, iteration: int) -> Callable[[dict[str, Any]], None]:
    def on_event(event: dict[str, Any]) -> None:
        if event["event"] in ("start", "metric", "heldout"):
            run.folder.training.append({"iteration": iteration, **event})
        if event["event"] == "done":
            run.checkpoints.keep(iteration, event["sha256"])
        show(event)

    show = _Lines(run.say).show
    return on_event


class _Lines:
    def __init__(self, say: Say) -> None:
        self._say = say
        self._steps: Count | None = None

    def show(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "start":
                again = f", going on from step {event['resumed_from_step']}" if event.get("resumed_from_step") else ""
                self._say(f"  training on {event['examples']} examples in {event['steps']} steps{again}")
                self._steps = Count(self._say, "steps", event["steps"])
            case "progress" if self._steps is not None:
                self._steps.reach(event["step"])
            case "heldout":
                self._say(f"  held-out loss {event['when']} training: {event['loss']:.4f}")
