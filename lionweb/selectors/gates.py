"""What the page of the approval gate shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import Count, OuterRef, Q, QuerySet, Subquery

from lionweb.models import Approval, Candidate, MemberPool, Membership, Stage, StageKind

PAGE_SIZE = 20
APPROVALS = {"open": Approval.PENDING, "all": None, "approved": Approval.APPROVED, "rejected": Approval.REJECTED}


@dataclass(frozen=True)
class GatePage:
    stage: Stage
    chosen: str
    counts: dict[str, int]
    page: Page
    items: Sequence[Any]

    @property
    def open(self) -> int:
        return self.counts["open"]

    @property
    def is_closed(self) -> bool:
        """Nothing can be decided any more."""
        return self.stage.status == "succeeded"


@dataclass(frozen=True)
class ApprovalItem:
    candidate: Candidate
    approval: str
    decided_by: str


def gate_stage(experiment: int, number: int, kind: StageKind) -> Stage:
    """Raises Stage.DoesNotExist."""
    found = Stage.objects.select_related("iteration__experiment")
    return found.get(iteration__experiment=experiment, iteration__number=number, kind=kind)


def approval_page(stage: Stage, chosen: str, number: int) -> GatePage:
    """The new instructions that people are asked about; those that the sample passed over are not among them."""
    rows = asked(stage)
    names = {name: Count("pk", filter=Q(approval=value)) for name, value in APPROVALS.items() if value}
    counts = rows.aggregate(**names, all=Count("pk"))
    wanted = APPROVALS[chosen]
    page = Paginator(rows.filter(approval=wanted) if wanted else rows, PAGE_SIZE).get_page(number)
    return GatePage(stage, chosen, {name: counts[name] for name in APPROVALS}, page, [_item(row) for row in page])


def asked(stage: Stage) -> QuerySet[Any]:
    decision = Membership.objects.filter(
        experiment=stage.iteration.experiment_id,
        since=stage.iteration.number + 1,
        pool=MemberPool.CACHE,
        instruction=OuterRef("instruction"),
    ).filter(Q(approval=Approval.PENDING) | Q(decided_at__isnull=False))
    kept = Candidate.objects.filter(iteration=stage.iteration_id, judged=True, rejected="", instruction__isnull=False)
    found = kept.annotate(
        approval=Subquery(decision.values("approval")[:1]),
        decided_by=Subquery(decision.values("decided_by__username")[:1]),
    )
    return found.filter(approval__isnull=False).select_related("instruction", "parent").order_by("pk")


def approval_item(stage: Stage, pk: int) -> ApprovalItem:
    """Raises Candidate.DoesNotExist."""
    return _item(asked(stage).get(pk=pk))


def _item(row: Any) -> ApprovalItem:
    return ApprovalItem(row, row.approval, row.decided_by or "")
