"""Answers of the student: one checkpoint, one process, rows stored as they come."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from django.conf import settings as django_settings
from django.db import transaction
from django.db.models import QuerySet

from distill.fingerprints import student_fingerprint
from lionweb.models import AuthorKind, Checkpoint, Instruction, Lease, Response, Stage
from lionweb.services import leases
from lionweb.stages.answers import claim_instructions, without_response
from lionweb.storable import storable


def adapter_of(checkpoint: Checkpoint) -> str | None:
    return str(django_settings.ARTIFACTS_DIR / checkpoint.path) if checkpoint.path else None


class StudentAnswers:
    queue = "gpu"

    def __init__(self, stage: Stage, checkpoint: Checkpoint, instructions: QuerySet[Instruction]) -> None:
        self.stage = stage
        self.checkpoint = checkpoint
        self.settings = stage.iteration.experiment.settings
        self.instructions = instructions
        self.sampling_hash = student_fingerprint(self.settings)
        self.name = f"student-{checkpoint.number}"
        self.label = f"{checkpoint} answers"
        self.prefix = f"{checkpoint.author}:{self.sampling_hash}:"

    def total_rows(self) -> int:
        return self.instructions.count()

    def _todo(self) -> QuerySet[Instruction]:
        return without_response(self.instructions, self.checkpoint.author, self.sampling_hash)

    def open_rows(self) -> int:
        return self._todo().count()

    def header(self) -> dict[str, Any]:
        return {
            "op": "answer",
            "base": self.settings.student.base,
            "adapter": adapter_of(self.checkpoint),
            "home": str(django_settings.LIONWEB_HOME),
            "settings": asdict(self.settings.student),
            "system_prompt": self.settings.teacher.system_prompt,
            "seed": self.settings.seed,
            "threads": django_settings.LIONWEB_THREADS,
        }

    def claim_items(self, lease: Lease, limit: int) -> list[dict[str, Any]]:
        rows = claim_instructions(self._todo(), lease, self.prefix, limit)
        return [
            # seeded by content, not by database id: the same instruction is answered alike in any installation
            {"key": row.content_hash, "id": row.pk, "text": row.text, "input": row.input}
            for row in rows
        ]

    @transaction.atomic
    def store_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        ids = dict(
            Instruction.objects.filter(content_hash__in=[r["key"] for r in rows]).values_list("content_hash", "pk")
        )
        Response.objects.bulk_create(
            [
                Response(
                    instruction_id=ids[r["key"]],
                    author_kind=AuthorKind.STUDENT,
                    author=self.checkpoint.author,
                    sampling_hash=self.sampling_hash,
                    checkpoint=self.checkpoint,
                    text=storable(r["text"]),
                    finish=r["finish"],
                    prompt_tokens=r["prompt_tokens"],
                    completion_tokens=r["completion_tokens"],
                )
                for r in rows
            ],
            ignore_conflicts=True,
        )
        leases.unclaim(keys=[f"{self.prefix}{ids[r['key']]}" for r in rows])
