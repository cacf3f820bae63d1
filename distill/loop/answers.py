"""Answers of the teacher and of the students to whatever they have not answered yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from distill.fingerprints import student_fingerprint
from distill.inference_client import InferenceProcess
from distill.loop.checkpoints import Checkpoint
from distill.loop.progress import Count, Paused
from distill.loop.responses import Response
from distill.loop.run import Run
from distill.records import CallOutcome, ChatRequest, Completion, Finish, Instruction
from distill.teacher import answer_fingerprint, answer_request


def teacher_response(run: Run, instruction: Instruction) -> Response | None:
    return run.responses.get(run.calls.author, answer_fingerprint(run.settings.teacher), instruction)


def student_response(run: Run, checkpoint: Checkpoint, instruction: Instruction) -> Response | None:
    return run.responses.get(checkpoint.author, student_fingerprint(run.settings), instruction)


def teacher_answers(run: Run, instructions: Sequence[Instruction]) -> None:
    settings, author = run.settings.teacher, run.calls.author
    sampling, by_hash = answer_fingerprint(settings), {one.content_hash: one for one in instructions}

    def keep(outcome: CallOutcome) -> None:
        if outcome.completion is not None:
            run.responses.keep(author, sampling, by_hash[outcome.key], outcome.completion)

    def open_requests() -> list[ChatRequest]:
        lacking = run.responses.lacking(author, sampling, instructions)
        return [answer_request(one.content_hash, one, settings) for one in lacking]

    run.calls.settle("teacher answers", len(instructions), open_requests, keep)


def student_answers(run: Run, checkpoint: Checkpoint, instructions: Sequence[Instruction]) -> None:
    sampling = student_fingerprint(run.settings)
    todo = run.responses.lacking(checkpoint.author, sampling, instructions)
    if not todo:
        return
    by_hash = {one.content_hash: one for one in todo}
    items = [{"key": one.content_hash, "text": one.text, "input": one.input} for one in todo]
    count = Count(run.say, f"answers of {checkpoint}", len(todo))
    with InferenceProcess(_header(run, checkpoint)) as process:
        for row in process.run(items, should_stop=run.should_stop):
            run.responses.keep(checkpoint.author, sampling, by_hash[row["key"]], _completion(row))
            count.add()
    if run.should_stop():
        raise Paused


def _completion(row: dict[str, Any]) -> Completion:
    return Completion(row["text"], Finish(row["finish"]), row["prompt_tokens"], row["completion_tokens"], 0.0)


def _header(run: Run, checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "op": "answer",
        "base": run.settings.student.base,
        "adapter": str(checkpoint.path) if checkpoint.path else None,
        "home": str(run.home),
        "settings": asdict(run.settings.student),
        "system_prompt": run.settings.teacher.system_prompt,
        "seed": run.settings.seed,
        "threads": run.threads,
    }
