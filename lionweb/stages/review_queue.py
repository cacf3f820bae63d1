"""Which judged instructions people are asked about, and in which order: those where they help most stand first."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from django.db.models import Count

from distill.records import Verdict
from distill.settings import ExperimentSettings
from lionweb.models import Classification, Iteration, MemberPool, ReviewState

AUDIT_SEED = 2**31
"""Added to the experiment's seed, which stays below it: the audit slice is drawn apart from every other sample."""
UNSCORED, FLIPPED, SCORED = 0.0, 1.0, 2.0
WIDEST_GAP = 19.0  # of gap and tau
TOPIC_BONUS = 0.5


def share(content_hash: str, seed: int) -> float:
    """A number from 0 to 1 that looks random and is always the same: by content, not by row or by time."""
    digest = hashlib.sha256(f"{seed}/{content_hash}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def falls_in_sample(content_hash: str, seed: int, percent: float) -> bool:
    return share(content_hash, seed) < percent / 100


def topics_queued(iteration: Iteration) -> Counter[str]:
    """How many items of each category stand in the queue already."""
    queued = iteration.classifications.filter(for_review=True).order_by()
    return Counter(dict(queued.values_list("instruction__category").annotate(Count("pk"))))


def queue_up(
    rows: Sequence[Classification], settings: ExperimentSettings, topics: Counter[str], *, tau: float | None = None
) -> None:
    """Set the review fields of classifications that are not saved yet, and count their categories into `topics`.

    tau: the threshold of their iteration, where it is not that of the settings.
    """
    tau = settings.referee.tau if tau is None else tau
    for row in rows:
        row.audit_slice = _is_audited(row, settings)
        row.for_review = row.audit_slice or _is_asked(row, settings)
        row.review_state = ReviewState.PENDING if row.for_review else ReviewState.NONE
        row.opinions_needed = settings.gates.reviewers_per_item
    queued = [row for row in rows if row.for_review]
    ranks = _rank_by_doubt([row for row in queued if not row.audit_slice], tau, topics)
    spread([row for row in queued if row.audit_slice], ranks, settings.seed)


def _is_audited(row: Classification, settings: ExperimentSettings) -> bool:
    if settings.gates.review == "skip" or row.pool == MemberPool.HELDOUT:
        return False
    percent = settings.gates.review_audit_percent
    return falls_in_sample(row.instruction.content_hash, settings.seed + AUDIT_SEED, percent)


def _is_asked(row: Classification, settings: ExperimentSettings) -> bool:
    if row.pool == MemberPool.HELDOUT:
        return False
    if settings.gates.review == "require":
        return row.referee_verdict != Verdict.EASY or row.flipped
    percent = settings.gates.review_sample_percent
    return settings.gates.review == "sample" and falls_in_sample(row.instruction.content_hash, settings.seed, percent)


def _rank_by_doubt(rows: Sequence[Classification], tau: float, topics: Counter[str]) -> list[float]:
    """Unscored, then flipped, then by closeness to tau; the first few of a topic come earlier. Returns the ranks."""
    for row in sorted(rows, key=lambda row: (_doubt(row, tau), row.instruction.content_hash)):
        topic = row.instruction.category
        row.queue_rank = _doubt(row, tau) - TOPIC_BONUS / (1 + topics[topic])
        topics[topic] += 1
    return sorted(row.queue_rank for row in rows)


def _doubt(row: Classification, tau: float) -> float:
    if row.gap is None:
        return UNSCORED
    return FLIPPED if row.flipped else SCORED + abs(row.gap - tau) / WIDEST_GAP


def spread(rows: Sequence[Classification], ranks: Sequence[float], seed: int) -> None:
    """At random places between the others, whatever the referee said of them: so those seen up to any point in the
    queue are a fair sample of all."""
    for row in rows:
        place = share(row.instruction.content_hash, seed + 2 * AUDIT_SEED)
        row.queue_rank = ranks[int(place * len(ranks))] if ranks else SCORED * place
