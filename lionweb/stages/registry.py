"""Which parts a stage has, in the order in which they run."""

from collections.abc import Callable

from lionweb import pools_of
from lionweb.models import Stage, StageKind
from lionweb.stages.answers import TeacherAnswers
from lionweb.stages.candidates import Acceptance, Candidates
from lionweb.stages.classify import Classify, review_part
from lionweb.stages.neighbours import NearestNeighbours
from lionweb.stages.pairs import compared
from lionweb.stages.part import Part
from lionweb.stages.repeated_reviews import repeated_parts
from lionweb.stages.single_reviews import SinglePairs
from lionweb.stages.student_answers import StudentAnswers
from lionweb.stages.training import Training


def _answer(stage: Stage) -> list[Part]:
    iteration = stage.iteration
    return [TeacherAnswers(stage, pools_of.train_and_heldout(iteration.experiment, iteration.number))]


def _train(stage: Stage) -> list[Part]:
    return [Training(stage)]


def _compare(stage: Stage) -> list[Part]:
    iteration = stage.iteration
    teacher = TeacherAnswers(stage, pools_of.cache_and_heldout(iteration.experiment, iteration.number))
    return [teacher, *(StudentAnswers(stage, c.checkpoint, c.instructions) for c in compared(iteration))]


def _judge(stage: Stage) -> list[Part]:
    is_single = stage.iteration.experiment.settings.referee.mode == "single"
    together: list[Part] = [SinglePairs(stage)] if is_single else []
    return [review_part(stage), *together, *repeated_parts(stage), Classify(stage)]


def _generate(stage: Stage) -> list[Part]:
    return [Candidates(stage), Acceptance(stage), NearestNeighbours(stage)]


_PARTS: dict[str, Callable[[Stage], list[Part]]] = {
    StageKind.ANSWER: _answer,
    StageKind.TRAIN: _train,
    StageKind.COMPARE: _compare,
    StageKind.JUDGE: _judge,
    StageKind.GENERATE: _generate,
}


def parts_of(stage: Stage) -> list[Part]:
    """None for the gates: there people work."""
    make = _PARTS.get(stage.kind)
    return make(stage) if make else []


def part_of(stage: Stage, name: str) -> Part | None:
    return next((part for part in parts_of(stage) if part.name == name), None)
