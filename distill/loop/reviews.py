"""Reviews of the pairs of an iteration, by whichever mode of referee."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from distill.fingerprints import referee_name
from distill.inference_client import InferenceProcess
from distill.loop.answers import student_response, teacher_response
from distill.loop.checkpoints import Checkpoint
from distill.loop.journal import Journal
from distill.loop.progress import Count, Paused
from distill.loop.run import Run
from distill.records import CallOutcome, ChatRequest, Finish, Instruction, Pair, Review
from distill.referee_modes import CALL_MODES
from distill.single_referee import put_together

_FEATURES = "endpoint.json"


@dataclass(frozen=True)
class Compared:
    """A checkpoint and the instructions on which it is compared with the teacher."""

    checkpoint: Checkpoint
    instructions: list[Instruction]


def compared(run: Run, iteration: int) -> list[Compared]:
    """This iteration's checkpoint on Cache Pool and held-out set; in the first iteration also the base on the latter."""
    rows = [Compared(run.checkpoints.get(iteration), run.pools.cache_and_heldout(iteration))]
    if iteration == 1:
        rows.append(Compared(run.checkpoints.get(0), run.pools.heldout))
    return rows


def pair_of(run: Run, checkpoint: Checkpoint, instruction: Instruction) -> Pair | None:
    """Its key follows from the texts: two students that answer in the same words are reviewed once."""
    teacher, student = teacher_response(run, instruction), student_response(run, checkpoint, instruction)
    if teacher is None or student is None:
        return None
    body = "\x1f".join((instruction.content_hash, teacher.text, student.text))
    return Pair(_pair_key(body), instruction, teacher.text, student.text)


def _pair_key(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _alone(pair: Pair, text: str) -> Pair:
    """A response with itself, as the mode `single` scores it."""
    return Pair(_pair_key("\x1f".join((pair.instruction.content_hash, text))), pair.instruction, text, text)


class Reviews:
    """The reviews of one referee, by pair, oldest first."""

    def __init__(self, journal: Journal, referee: str) -> None:
        self._journal, self._referee = journal, referee
        self._found: dict[str, list[Review]] = defaultdict(list)
        for row in journal.rows:
            if row["referee"] == referee:
                self._found[row["pair"]].append(_review(row["pair"], row))

    def of(self, pair: Pair) -> list[Review]:
        return self._found.get(pair.key, [])

    def keep(self, pair: Pair, review: Review) -> None:
        row = {
            "pair": pair.key,
            "content_hash": pair.instruction.content_hash,
            "referee": self._referee,
            "order": review.order,
            "score_teacher": review.score_teacher,
            "score_student": review.score_student,
            "explanation": review.explanation,
            "raw": review.raw,
        }
        self._journal.append(row)
        self._found[pair.key].append(review)


def _review(key: str, row: dict[str, Any]) -> Review:
    return Review(
        key, row["order"], row["raw"], row["score_teacher"], row["score_student"], row.get("explanation") or ""
    )


def reviews_of(run: Run) -> Reviews:
    return Reviews(run.folder.reviews, referee_name(run.settings, run.calls.author))


def review(run: Run, iteration: int) -> None:
    """Review every pair that lacks scores."""
    pairs = {
        pair.key: pair
        for one in compared(run, iteration)
        for instruction in one.instructions
        if (pair := pair_of(run, one.checkpoint, instruction)) is not None
    }
    works = {"likelihood": _by_likelihood, "single": _one_by_one}
    works.get(run.settings.referee.mode, _by_calls)(run, list(pairs.values()), reviews_of(run))


def _by_calls(run: Run, pairs: Sequence[Pair], reviews: Reviews) -> None:
    by_key = {pair.key: pair for pair in pairs}

    def open_requests() -> Iterator[ChatRequest]:
        for order in mode.orders:
            for pair in pairs:
                asked = [one for one in reviews.of(pair) if one.order == order]
                if len(asked) <= settings.reask and all(one.score_teacher is None for one in asked):
                    key = f"{order}:{pair.key}"
                    yield mode.request(key, pair, order, settings, structured, len(asked))

    def keep(outcome: CallOutcome) -> None:
        if (done := outcome.completion) is not None:
            order, _, pair_key = outcome.key.partition(":")
            cut = done.finish in (Finish.LENGTH, Finish.TRUNCATED)
            pair = by_key[pair_key]
            reviews.keep(pair, mode.read(pair_key, order, done.text, cut, pair.teacher_response))

    settings = run.settings.referee
    mode = CALL_MODES[settings.mode]
    structured = settings.structured_output == "on"
    if settings.structured_output == "auto" and any(open_requests()):
        structured = _supports_json_schema(run)
    run.calls.settle("reviews", len(pairs) * len(mode.orders), open_requests, keep)


def _one_by_one(run: Run, pairs: Sequence[Pair], reviews: Reviews) -> None:
    """Every response once, then the pairs from what was said of their responses."""
    responses = [_alone(pair, text) for pair in pairs for text in (pair.teacher_response, pair.student_response)]
    _by_calls(run, list({one.key: one for one in responses}.values()), reviews)
    for pair in pairs:
        teacher, student = (
            next((one for one in reviews.of(_alone(pair, text)) if one.score_student is not None), None)
            for text in (pair.teacher_response, pair.student_response)
        )
        if teacher and student and not reviews.of(pair):
            reviews.keep(pair, put_together(pair.key, teacher, student))


def _supports_json_schema(run: Run) -> bool:
    """Found out once a run: an endpoint that changes its mind half way would change the reviews."""
    known = run.folder.read(_FEATURES)
    if known is None:
        known = {"supports_json_schema": run.calls.supports_json_schema()}
        run.folder.write(_FEATURES, known)
    return bool(known["supports_json_schema"])


def _by_likelihood(run: Run, pairs: Sequence[Pair], reviews: Reviews) -> None:
    todo = {pair.key: pair for pair in pairs if not reviews.of(pair)}
    if not todo:
        return
    count = Count(run.say, "likelihood under the referee", len(todo))
    with InferenceProcess(_header(run)) as process:
        for row in process.run([_item(pair) for pair in todo.values()], should_stop=run.should_stop):
            reviews.keep(todo[row["key"]], _review(row["key"], row))
            count.add()
    if run.should_stop():
        raise Paused


def _item(pair: Pair) -> dict[str, Any]:
    return {
        "key": pair.key,
        "text": pair.instruction.text,
        "input": pair.instruction.input,
        "teacher_response": pair.teacher_response,
        "student_response": pair.student_response,
    }


def _header(run: Run) -> dict[str, Any]:
    return {
        "op": "likelihood",
        "base": run.settings.referee.weights,
        "adapter": None,
        "home": str(run.home),
        "settings": {},
        "template": "auto",
        "system_prompt": run.settings.teacher.system_prompt,
        "seed": run.settings.seed,
        "threads": run.threads,
    }
