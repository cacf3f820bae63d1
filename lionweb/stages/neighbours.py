"""The nearest neighbours of each new instruction that people are asked about, so that no page has to look for them."""

from django.db import transaction
from django.db.models import F, QuerySet

from distill.records import Instruction as Text
from lionweb.models import Approval, Candidate, MemberPool, Membership, Stage
from lionweb.neighbours import Neighbourhood

CHUNK = 256


class NearestNeighbours:
    name = "neighbours"
    queue = "default"
    label = "nearest neighbours"

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def total_rows(self) -> int:
        return 0

    def open_rows(self) -> int:
        return self._open().count()

    def work(self) -> None:
        known: Neighbourhood | None = None
        while rows := list(self._open().select_related("instruction").order_by("pk")[:CHUNK]):
            known = known or Neighbourhood(self.stage.iteration)
            self._store(rows, known)

    def _open(self) -> QuerySet[Membership]:
        return Membership.objects.filter(
            experiment=self.stage.iteration.experiment_id,
            since=self.stage.iteration.number + 1,
            pool=MemberPool.CACHE,
            approval=Approval.PENDING,
            candidate__iteration=self.stage.iteration_id,
            candidate__neighbours__isnull=True,
            instruction=F("candidate__instruction"),
        )

    @transaction.atomic
    def _store(self, rows: list[Membership], known: Neighbourhood) -> None:
        texts = [(row.instruction_id, Text(row.instruction.text, row.instruction.input).prompt) for row in rows]
        candidates = []
        for row, found in zip(rows, known.nearest(texts), strict=True):
            shown = {str(row.instruction_id): [one.as_json() for one in found]}
            candidates.append(Candidate(pk=row.candidate_id, neighbours=shown))
            row.similarity = found[0].score if found else 0.0
        Candidate.objects.bulk_update(candidates, ["neighbours"])
        Membership.objects.bulk_update(rows, ["similarity"])
