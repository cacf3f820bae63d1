"""What the page of evaluation sets shows."""

from dataclasses import dataclass

from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from lionweb.models import EvaluationSet, LeakHit, LeakScan


@dataclass(frozen=True)
class EvaluationRow:
    """`checked` is the share of the instructions that were compared with it; None once all were."""

    set: EvaluationSet
    leaked: int
    checked: float | None


def evaluation_rows() -> list[EvaluationRow]:
    """All sets by name, with how many instructions overlap with them."""
    hits = LeakHit.objects.filter(item__set=OuterRef("pk")).order_by().values("item__set")
    leaked = hits.annotate(n=Count("instruction", distinct=True)).values("n")
    sets = EvaluationSet.objects.select_related("created_by").annotate(leaked=Coalesce(Subquery(leaked), 0))
    open_scans = LeakScan.objects.filter(evaluation_set__isnull=False, finished_at__isnull=True)
    shares = {scan.evaluation_set_id: scan.reached / max(1, scan.last) for scan in open_scans}
    return [EvaluationRow(one, one.leaked, shares.get(one.pk)) for one in sets.order_by("name")]
