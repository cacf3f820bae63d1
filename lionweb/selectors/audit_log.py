"""The audit log, newest first, by keys instead of offsets: page 10,000 costs what page 1 does."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.urls import reverse

from lionweb.audit_words import SENTENCES, sentence
from lionweb.models import AuditEvent, Experiment, User
from lionweb.selectors.by_time import between, page_by_time

PAGE_SIZE = 50
MOST_CHOICES = 500


@dataclass(frozen=True)
class AuditState:
    """What the URL says. `after` and `before` are cursors: "ID:moment"; `since` and `until` are days, both included."""

    actor: int | None = None
    action: str = ""
    target_type: str = ""
    target: str = ""
    experiment: int | None = None
    since: date | None = None
    until: date | None = None
    after: str = ""
    before: str = ""

    def query(self, **changes: Any) -> str:
        changed = replace(self, **changes)
        values = {one.name: getattr(changed, one.name) for one in fields(changed)}
        return urlencode({name: value for name, value in values.items() if value not in ("", None)})

    @property
    def is_filtered(self) -> bool:
        return self.query(after="", before="") != ""


@dataclass(frozen=True)
class AuditRow:
    event: AuditEvent
    sentence: str
    target_url: str


@dataclass(frozen=True)
class AuditPage:
    """`newer` and `older` are queries of the neighbouring pages; empty where there are none."""

    rows: tuple[AuditRow, ...]
    newer: str
    older: str


@dataclass(frozen=True)
class AuditChoices:
    actors: tuple[User, ...]
    actions: tuple[tuple[str, str], ...]
    experiments: tuple[Experiment, ...]


def audit_page(state: AuditState) -> AuditPage:
    found = events(state).select_related("actor", "experiment")
    page = page_by_time(found, after=state.after, before=state.before, size=PAGE_SIZE)
    return AuditPage(
        rows=tuple(AuditRow(one, sentence(one.action, one.detail), target_url(one)) for one in page.rows),
        newer=state.query(before=page.newer, after="") if page.newer else "",
        older=state.query(after=page.older, before="") if page.older else "",
    )


def events(state: AuditState) -> QuerySet[AuditEvent]:
    """What the filters let through, in no order yet."""
    exact = {
        "actor": state.actor,
        "action": state.action,
        "target_type": state.target_type,
        "target_id": state.target,
        "experiment": state.experiment,
    }
    found = AuditEvent.objects.filter(**{name: value for name, value in exact.items() if value not in ("", None)})
    return between(found, state.since, state.until)


def exported(state: AuditState) -> Iterator[tuple[Any, ...]]:
    """All rows that the filters let through, newest first, fetched as they are asked for."""
    rows = events(state).order_by("-at", "-id").values_list(
        "id", "at", "actor__username", "action", "target_type", "target_id", "experiment_id", "detail"
    )  # fmt: skip
    for pk, at, actor, action, target_type, target_id, experiment, detail in rows.iterator(chunk_size=2000):
        said = sentence(action, detail)
        yield (
            pk,
            at.isoformat(),
            actor or "",
            action,
            said,
            target_type,
            target_id,
            experiment or "",
            json.dumps(detail, ensure_ascii=False),
        )


EXPORT_HEADER = ("id", "at", "actor", "action", "sentence", "target_type", "target_id", "experiment", "detail")
TARGET_PAGES = {"experiment": "experiment", "pool": "pool", "instruction": "instruction"}


def target_url(event: AuditEvent) -> str:
    """The page of what was changed, where it has one that its number leads to."""
    page = TARGET_PAGES.get(event.target_type)
    return reverse(page, args=[int(event.target_id)]) if page and event.target_id.isdecimal() else ""


def audit_choices() -> AuditChoices:
    """Offered in the filters; what has never happened yet is offered too, as a list of what did would cost a scan."""
    return AuditChoices(
        actors=tuple(User.objects.only("username").order_by("username")[:MOST_CHOICES]),
        actions=tuple((name, name.replace(".", ": ").replace("_", " ")) for name in sorted(SENTENCES)),
        experiments=tuple(Experiment.objects.only("name").order_by("-pk")[:MOST_CHOICES]),
    )
