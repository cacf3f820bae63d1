"""Answers of the teacher: the stage `answer`, and the teacher's side of `compare`."""

from collections.abc import Sequence

from django.db import transaction
from django.db.models import CharField, Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Cast, Concat

from distill.failures import TRIES
from distill.records import CallOutcome, ChatRequest, Purpose
from distill.records import Instruction as EngineInstruction
from distill.teacher import answer_fingerprint, answer_request
from lionweb.models import AuthorKind, Claim, Instruction, ItemFailure, Lease, Response, Stage
from lionweb.services import leases
from lionweb.stages import outcomes as common
from lionweb.storable import storable


def engine_instruction(row: Instruction) -> EngineInstruction:
    return EngineInstruction(row.text, row.input, row.language, row.category)


def item_key(prefix: str) -> Concat:
    """The claim's key of an instruction, as SQL."""
    return Concat(Value(prefix), Cast(OuterRef("pk"), CharField()), output_field=CharField())


def without_response(instructions: QuerySet[Instruction], author: str, sampling_hash: str) -> QuerySet[Instruction]:
    found = Response.objects.filter(instruction=OuterRef("pk"), author=author, sampling_hash=sampling_hash)
    return instructions.filter(~Exists(found))


def not_given_up(instructions: QuerySet[Instruction], stage: Stage, prefix: str) -> QuerySet[Instruction]:
    failed = ItemFailure.objects.filter(stage=stage, key=item_key(prefix), attempts__gte=TRIES)
    return instructions.filter(~Exists(failed))


def claim_instructions(todo: QuerySet[Instruction], lease: Lease, prefix: str, limit: int) -> list[Instruction]:
    """Up to `limit` instructions that nobody works on, now claimed by the lease."""
    free = todo.filter(~Exists(Claim.objects.filter(key=item_key(prefix)))).order_by("pk")[:limit]
    by_key = {f"{prefix}{row.pk}": row for row in free}
    return [by_key[key] for key in leases.claim(lease=lease, keys=list(by_key))]


class TeacherAnswers:
    """The teacher answers every instruction that has no response with these settings yet, from any experiment."""

    name = "teacher"
    queue = "api"
    label = "teacher answers"

    def __init__(self, stage: Stage, instructions: QuerySet[Instruction]) -> None:
        experiment = stage.iteration.experiment
        self.stage = stage
        self.endpoint = experiment.endpoint
        self.settings = experiment.settings.teacher
        self.instructions = instructions
        self.sampling_hash = answer_fingerprint(self.settings)
        self.prefix = f"answer:{self.endpoint.author}:{self.sampling_hash}:"

    def total_rows(self) -> int:
        return self.instructions.count()

    def _todo(self) -> QuerySet[Instruction]:
        lacking = without_response(self.instructions, self.endpoint.author, self.sampling_hash)
        return not_given_up(lacking, self.stage, self.prefix)

    def open_rows(self) -> int:
        return self._todo().count()

    def claim(self, lease: Lease, limit: int) -> list[ChatRequest]:
        rows = claim_instructions(self._todo(), lease, self.prefix, limit)
        return [answer_request(f"{self.prefix}{row.pk}", engine_instruction(row), self.settings) for row in rows]

    @transaction.atomic
    def store(self, outcomes: Sequence[CallOutcome]) -> None:
        ids = {o.key: int(o.key.removeprefix(self.prefix)) for o in outcomes}
        rows = [
            Response(
                instruction_id=ids[o.key],
                author_kind=AuthorKind.TEACHER,
                author=self.endpoint.author,
                sampling_hash=self.sampling_hash,
                text=storable(o.completion.text),
                finish=o.completion.finish,
                prompt_tokens=o.completion.prompt_tokens,
                completion_tokens=o.completion.completion_tokens,
                cost_usd=o.completion.cost_usd,
            )
            for o in outcomes
            if o.completion is not None
        ]
        Response.objects.bulk_create(rows, ignore_conflicts=True)
        common.write_ledger(stage=self.stage, endpoint=self.endpoint, purpose=Purpose.ANSWER, outcomes=outcomes)
        common.write_failures(stage=self.stage, outcomes=outcomes, instructions=ids)
        common.free(outcomes)
