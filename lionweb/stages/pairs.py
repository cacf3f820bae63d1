"""The pairs of an iteration: per checkpoint and instruction the teacher's and the student's response."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef, QuerySet

from distill.fingerprints import student_fingerprint
from distill.records import Pair
from distill.teacher import answer_fingerprint
from lionweb import pools_of
from lionweb.models import Checkpoint, Instruction, Iteration, Response
from lionweb.stages.answers import engine_instruction


@dataclass(frozen=True)
class Compared:
    """A checkpoint and the instructions on which it is compared with the teacher in this iteration."""

    checkpoint: Checkpoint
    instructions: QuerySet[Instruction]


def compared(iteration: Iteration) -> list[Compared]:
    """This iteration's checkpoint on Cache Pool and held-out set; in the first iteration also the base on the latter."""
    experiment = iteration.experiment
    rows = [Compared(iteration.checkpoint, pools_of.cache_and_heldout(experiment, iteration.number))]
    if iteration.number == 1:
        base = experiment.checkpoints.get(number=0)
        rows.append(Compared(base, pools_of.heldout_set(experiment)))
    return rows


def teacher_responses(iteration: Iteration) -> QuerySet[Response]:
    experiment = iteration.experiment
    return Response.objects.filter(
        author=experiment.endpoint.author, sampling_hash=answer_fingerprint(experiment.settings.teacher)
    )


def student_responses(iteration: Iteration) -> QuerySet[Response]:
    """Responses of the compared checkpoints to the compared instructions that the teacher answered too."""
    one, *more = [
        Response.objects.filter(
            author=c.checkpoint.author,
            sampling_hash=student_fingerprint(iteration.experiment.settings),
            instruction__in=c.instructions,
        )
        for c in compared(iteration)
    ]
    for other in more:
        one |= other
    return one.filter(Exists(teacher_responses(iteration).filter(instruction=OuterRef("instruction"))))


def make_pair(key: str, student: Response, teacher: Response) -> Pair:
    return Pair(key, engine_instruction(student.instruction), teacher.text, student.text)
