"""Imitation: the student is fine-tuned on the teacher's responses, in a process of its own.

python -m distill.imitation JOB.json [--watch-parent] writes events to stdout, one JSON object a line, and ends with
0 (done), 75 (stopped; a resume point is saved) or 1 (an error event says why). Running a finished job again is harmless.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import PartialState

from distill import resume_points
from distill.bundled import ensure_bundled_student
from distill.checkpoints import disk_full_said, read_manifest, weights_sha256, write_checkpoint
from distill.errors import DistillError, OutOfMemory, TrainingError
from distill.heldout import heldout_loss
from distill.precision import choose_precision
from distill.resume_points import TrainingState
from distill.trainee import Trainee, prepare, write_weights
from distill.training_job import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_STOPPED,
    OUT_OF_MEMORY_ADVICE,
    WATCH_PARENT,
    TrainingJob,
)
from distill.training_loop import Control, build_optimizer, global_batches, train
from distill.training_process import Events, StopSignal, die_with_parent, sole_use


def imitate(job: TrainingJob, events: Events, stop: StopSignal) -> bool:
    """Run the stage from wherever it stands; False if it was stopped on the way."""
    fingerprint = job.fingerprint()
    if done := _finished(job, fingerprint):
        events.emit("done", checkpoint=job.output, sha256=done["sha256"], manifest=done)
        return True
    settings, work = job.training, Path(job.work)
    if job.threads:
        torch.set_num_threads(job.threads)
    found = resume_points.latest(work, fingerprint)
    state = found[0] if found else _fresh_state(job, fingerprint)
    trainee = prepare(job, state.precision)
    optimizer = build_optimizer(trainee.model, settings)
    if found:
        resume_points.restore(found[1], trainee.model, optimizer)
        del found
    steps = len(global_batches(len(trainee.train_set.examples), settings, job.seed))
    _announce(events, trainee, state, steps, settings.epochs)
    _measure("before", trainee, state, events)

    def save() -> None:
        if PartialState().is_main_process:
            resume_points.save(work, state, trainee.model, optimizer)

    control = Control(
        metric=lambda step, name, value: events.emit("metric", step=step, name=name, value=value),
        progress=lambda step: events.emit("progress", step=step, steps=steps),
        should_stop=stop.is_set,
        save=save,
    )
    arguments = (trainee.loss, optimizer, trainee.train_set.examples, settings, state, control)
    if not train(*arguments, seed=job.seed, budget=trainee.budget):
        events.emit("stopped", step=state.step, steps=steps)
        return False
    _measure("after", trainee, state, events)
    if PartialState().is_main_process:
        manifest = _save(job, trainee, state)
        resume_points.clear(work)
        events.emit("done", checkpoint=job.output, sha256=manifest["sha256"], manifest=manifest)
    return True


def _finished(job: TrainingJob, fingerprint: str) -> dict[str, Any] | None:
    manifest = read_manifest(Path(job.output))
    if manifest and manifest.get("job") != fingerprint:
        raise TrainingError(
            f"The checkpoint folder {job.output} holds the result of another job.", "Choose another output folder."
        )
    return manifest


def _fresh_state(job: TrainingJob, fingerprint: str) -> TrainingState:
    return TrainingState(fingerprint, choose_precision(job.training.precision, PartialState().device))


def _announce(events: Events, trainee: Trainee, state: TrainingState, steps: int, epochs: int) -> None:
    events.emit(
        "start",
        examples=len(trainee.train_set.examples),
        skipped=dict(trainee.train_set.skipped),
        truncated=trainee.train_set.truncated,
        steps=steps,
        epochs=epochs,
        resumed_from_step=state.step,
        trainable_parameters=sum(one.numel() for one in trainee.model.parameters() if one.requires_grad),
        precision=state.precision,
        packed=trainee.loss.packed,
    )


def _measure(when: str, trainee: Trainee, state: TrainingState, events: Events) -> None:
    """Held-out loss, kept in the state, so that a resumed run reports the "before" of the true beginning."""
    name = f"heldout_{when}"
    if not trainee.heldout:
        return
    tokens = sum(one.response_tokens for one in trainee.heldout)
    if name not in state.metrics:
        state.metrics[name], tokens = heldout_loss(trainee.loss, trainee.heldout, budget=trainee.budget)
    if not math.isfinite(state.metrics[name]):
        raise TrainingError(
            f"The held-out loss {when} training is not a finite number.", "Check the base model's weights, or use fp32."
        )
    events.emit("heldout", when=when, loss=state.metrics[name], tokens=tokens)


def _save(job: TrainingJob, trainee: Trainee, state: TrainingState) -> dict[str, Any]:
    facts = {
        "job": state.fingerprint,
        "kind": job.training.method,
        "base": job.base,
        "base_sha256": _base_hash(job),
        "parent": _parent(job),
        "settings": job.settings,
        "template": job.template,
        "system_prompt": job.system_prompt,
        "seed": job.seed,
        "precision": state.precision,
        "steps": state.step,
        "examples": len(trainee.train_set.examples),
        "skipped": dict(trainee.train_set.skipped),
        "metrics": {**state.metrics, "seconds": state.seconds},
    }
    return write_checkpoint(Path(job.output), lambda folder: write_weights(trainee, folder), facts)


def _parent(job: TrainingJob) -> dict[str, Any] | None:
    if not job.start_from:
        return None
    manifest = read_manifest(job.start_from)
    return {"folder": str(job.start_from), "sha256": manifest["sha256"] if manifest else None}


def _base_hash(job: TrainingJob) -> str:
    """Of the base's weights where they lie in a folder or file; a hub id stands for itself."""
    base = ensure_bundled_student(Path(job.home)) if job.base == "bundled" else Path(job.base).expanduser()
    return weights_sha256(base)


def run(job: TrainingJob, events: Events, stop: StopSignal) -> int:
    """`imitate` as the only process in its work folder; returns the exit code, and tells of every fault it knows."""
    work = Path(job.work)
    try:
        with disk_full_said(work), sole_use(work) if events.speaks else contextlib.nullcontext():
            return EXIT_DONE if imitate(job, events, stop) else EXIT_STOPPED
    except DistillError as error:
        fault = error
    except (torch.OutOfMemoryError, MemoryError) as error:
        fault = OutOfMemory(f"Training needs more memory than there is: {error}", OUT_OF_MEMORY_ADVICE)
    except RuntimeError as error:
        if "memory" not in str(error):  # the CPU's allocator raises nothing more precise
            raise
        fault = OutOfMemory("Training needs more memory than there is.", OUT_OF_MEMORY_ADVICE)
    events.emit("error", error=fault.as_dict())
    return EXIT_FAILED


def main(arguments: list[str]) -> int:
    """Under `accelerate launch` every process runs this; the first one speaks."""
    events, stop = Events(speaks=os.environ.get("RANK", "0") == "0"), StopSignal()
    if WATCH_PARENT in arguments:
        die_with_parent()
    PartialState(cpu=not torch.accelerator.is_available())  # joins the other processes, where there are any
    return run(TrainingJob.read(Path(arguments[0])), events, stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
