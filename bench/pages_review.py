"""The review queue over HTTP: the next item, saving a verdict, and many reviewers at once."""

from __future__ import annotations

import gzip
import re
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from bench.site import Case, Site, cookie_of, expect_page

_FORM = re.compile(rb'action="/reviews/(\d+)/decide/".*?name="seen" value="([^"]*)"', re.S)


@dataclass
class Reviewer:
    """One signed-in person at one queue, who decides like a browser with htmx does."""

    site: Site
    queue: str
    saved: list[int] = field(default_factory=list)

    def open(self) -> tuple[int, str]:
        """The item that the queue gives out: its id and version."""
        return _item(expect_page(self.site, self.queue))

    def save(self, item: int, seen: str, kind: str) -> tuple[int, str]:
        """Decide, and get the next item with the same answer."""
        body = urlencode({"kind": kind, "seen": seen, "query": "", "seconds": "3"}).encode()
        head = (
            f"POST /reviews/{item}/decide/ HTTP/1.1\r\nHX-Request: true\r\nX-CSRFToken: {'c' * 32}\r\n"
            "Content-Type: application/x-www-form-urlencoded\r\n"
        )
        status, page = self.site.send(head, body)
        if status != 200:
            raise RuntimeError(f"saving a verdict answered {status}")
        self.saved.append(item)
        return _item(page)


def _item(page: bytes) -> tuple[int, str]:
    text = gzip.decompress(page) if page[:2] == b"\x1f\x8b" else page
    found = _FORM.search(text)
    if not found:
        raise RuntimeError("the page gives no item to decide on")
    return int(found[1]), found[2].decode()


def open_gate() -> str:
    """Let the bench's iteration wait for reviews; the address of its queue."""
    from lionweb.models import Experiment, Stage, StageKind, StageStatus

    experiment = Experiment.objects.get(name="Bench")
    iteration = experiment.iterations.get()
    Stage.objects.get_or_create(
        iteration=iteration, kind=StageKind.REVIEW, defaults={"position": 5, "status": StageStatus.WAITING}
    )
    return f"/experiments/{experiment.pk}/iterations/{iteration.number}/review/"


def review_cases(port: int, queue: str, requests: int) -> list[Case]:
    """The whole page with the next item; and a verdict saved, whose answer brings the next item."""
    reviewer = Reviewer(Site(port, cookie_of("reviewer0")), queue)
    looking, saving = Case("next review item", [queue]), Case("saving a verdict", [])
    item, seen = reviewer.open()
    for number in range(requests):
        began = time.perf_counter()
        page = expect_page(reviewer.site, queue)
        looking.milliseconds.append(1000 * (time.perf_counter() - began))
        looking.largest_bytes = max(looking.largest_bytes, len(page))
        began = time.perf_counter()
        item, seen = reviewer.save(item, seen, ("hard", "easy", "unsafe")[number % 3])
        saving.milliseconds.append(1000 * (time.perf_counter() - began))
    return [looking, saving]


def all_at_once(port: int, queue: str, verdicts: int) -> dict[str, Any]:
    """Every reviewer saves `verdicts` verdicts while the others do. Raises RuntimeError for any answer but success."""
    from bench.pages_data import REVIEWERS

    reviewers = [Reviewer(Site(port, cookie_of(f"reviewer{number}")), queue) for number in range(REVIEWERS)]
    failures: list[str] = []

    def work(one: Reviewer) -> None:
        try:
            item, seen = one.open()
            for _ in range(verdicts):
                item, seen = one.save(item, seen, "easy")
        except (RuntimeError, OSError) as failure:
            failures.append(str(failure))

    threads = [threading.Thread(target=work, args=(one,)) for one in reviewers]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _counted(reviewers, failures, time.perf_counter() - began, verdicts)


def _counted(reviewers: list[Reviewer], failures: list[str], seconds: float, verdicts: int) -> dict[str, Any]:
    """What the database says of it: a verdict that was answered but is not there is lost, an item with two is doubled."""
    from django.db.models import Count

    from lionweb.models import Decision

    saved = [item for one in reviewers for item in one.saved]
    live = Decision.objects.filter(classification__in=saved, undone_at__isnull=True)
    doubled = live.values("classification").annotate(n=Count("pk")).filter(n__gt=1).count()
    return {
        "reviewers": len(reviewers),
        "verdicts": len(saved),
        "wanted": len(reviewers) * verdicts,
        "failures": failures[:5],
        "lost": len(set(saved)) - live.values("classification").distinct().count(),
        "assigned_twice": doubled + len(saved) - len(set(saved)),
        "verdicts_per_second": round(len(saved) / seconds, 1),
    }
