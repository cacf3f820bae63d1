"""What the list of endpoints shows."""

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Sum

from lionweb.models import IMPORTED, Endpoint, EndpointSource, Experiment, ModelCall


@dataclass(frozen=True)
class EndpointRow:
    endpoint: Endpoint
    experiments: int
    calls: int
    cost_usd: float
    has_key: bool

    @property
    def is_editable(self) -> bool:
        return self.endpoint.source == EndpointSource.PERSON

    @property
    def is_bundled(self) -> bool:
        return self.endpoint.source == EndpointSource.BUNDLED


def endpoint_rows(pk: int | None = None) -> list[EndpointRow]:
    """All endpoints that can be called, in the order of their making, or one."""
    endpoints = (
        Endpoint.objects.exclude(base_url__startswith=f"{IMPORTED}:").order_by("pk")
        if pk is None
        else Endpoint.objects.filter(pk=pk)
    )
    ids = [one.pk for one in endpoints]
    uses = dict(Experiment.objects.filter(endpoint__in=ids).order_by().values_list("endpoint").annotate(Count("pk")))
    calls = ModelCall.objects.filter(endpoint__in=ids, paid=True).order_by().values("endpoint")
    paid: dict[int, Any] = {row["endpoint"]: row for row in calls.annotate(count=Count("pk"), cost=Sum("cost_usd"))}
    return [_row(one, uses.get(one.pk, 0), paid.get(one.pk, {})) for one in endpoints]


def _row(endpoint: Endpoint, experiments: int, paid: dict[str, Any]) -> EndpointRow:
    has_key = bool(endpoint.api_key_encrypted)
    return EndpointRow(endpoint, experiments, paid.get("count", 0), paid.get("cost", 0.0), has_key)
