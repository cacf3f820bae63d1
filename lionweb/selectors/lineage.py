"""Where an instruction comes from, and what was written from it."""

from dataclasses import dataclass

from django.db import connection

from lionweb.models import Approval, Candidate, Membership, MemberSource

MOST_ANCESTORS = 20
MOST_CHILDREN = 50
PREVIEW = 200


@dataclass(frozen=True)
class Relative:
    """`source` and `since` say how the instruction below (for ancestors) or the relative itself (for children) was made."""

    id: int
    text: str
    source: str
    since: int
    experiment_id: int
    experiment: str
    approval: str = ""


@dataclass(frozen=True)
class Lineage:
    """Ancestors from the oldest on. `children` is cut at MOST_CHILDREN, `child_count` is not."""

    ancestors: tuple[Relative, ...]
    children: tuple[Relative, ...]
    child_count: int
    written_as: tuple[Candidate, ...]
    candidates: tuple[Candidate, ...]

    @property
    def exists(self) -> bool:
        return bool(self.ancestors or self.children or self.written_as or self.candidates)


_UPWARDS = f"""
    WITH RECURSIVE up(id, source, since, experiment_id, depth) AS (
        (SELECT parent_id, source, since, experiment_id, 1 FROM lionweb_membership
         WHERE instruction_id = %s AND parent_id IS NOT NULL ORDER BY id LIMIT 1)
        UNION ALL
        SELECT m.parent_id, m.source, m.since, m.experiment_id, up.depth + 1
        FROM up CROSS JOIN LATERAL (
            SELECT * FROM lionweb_membership
            WHERE instruction_id = up.id AND parent_id IS NOT NULL AND parent_id <> %s
            ORDER BY experiment_id <> up.experiment_id, id LIMIT 1
        ) m WHERE up.depth < {MOST_ANCESTORS}
    )
    SELECT up.id, left(i.text, {PREVIEW}), up.source, up.since, e.id, e.name
    FROM up JOIN lionweb_instruction i ON i.id = up.id JOIN lionweb_experiment e ON e.id = up.experiment_id
    ORDER BY up.depth DESC
"""


def lineage(instruction_id: int) -> Lineage:
    children = _children(instruction_id)
    written_as = Candidate.objects.filter(instruction=instruction_id).select_related("iteration__experiment")
    candidates = Candidate.objects.filter(parent=instruction_id).select_related("iteration__experiment")
    return Lineage(
        ancestors=_ancestors(instruction_id),
        children=children,
        child_count=len(children) if len(children) < MOST_CHILDREN else _count(instruction_id),
        written_as=tuple(written_as.order_by("pk")[:5]),
        candidates=tuple(candidates.order_by("-pk")[:MOST_CHILDREN]),
    )


def _ancestors(instruction_id: int) -> tuple[Relative, ...]:
    with connection.cursor() as cursor:
        cursor.execute(_UPWARDS, [instruction_id, instruction_id])
        return tuple(
            Relative(pk, text, MemberSource(source).label, since, experiment_id, experiment)
            for pk, text, source, since, experiment_id, experiment in cursor.fetchall()
        )


def _children(instruction_id: int) -> tuple[Relative, ...]:
    """One row for each child and experiment, though it stands in Train Pool and Cache Pool."""
    rows = (
        Membership.objects.filter(parent=instruction_id)
        .select_related("instruction", "experiment")
        .only("instruction__text", "experiment__name", "source", "since", "approval")
        .order_by("instruction", "experiment", "since")
        .distinct("instruction", "experiment")
    )
    return tuple(
        Relative(
            id=row.instruction_id,
            text=row.instruction.text[:PREVIEW],
            source=MemberSource(row.source).label,
            since=row.since,
            experiment_id=row.experiment_id,
            experiment=row.experiment.name,
            approval="" if row.approval == Approval.APPROVED else Approval(row.approval).label,
        )
        for row in rows[:MOST_CHILDREN]
    )


def _count(instruction_id: int) -> int:
    return Membership.objects.filter(parent=instruction_id).values("instruction", "experiment").distinct().count()
