"""The review queue of an iteration whose verdicts changed at once: who joins it, who leaves it, and the new order.

The rules are those of stages/review_queue.py, which fills the queue while items are judged; here they are SQL.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection
from django.utils import timezone

from lionweb.models import Classification, Iteration
from lionweb.stages.review_queue import FLIPPED, SCORED, TOPIC_BONUS, UNSCORED, WIDEST_GAP, spread

_JOIN = """
    UPDATE lionweb_classification SET for_review = true,
        review_state = CASE WHEN review_state = '' THEN 'pending' ELSE review_state END
    WHERE iteration_id = %s AND NOT for_review AND pool <> 'heldout' AND (referee_verdict <> 'easy' OR flipped)
"""
_LEAVE = """
    UPDATE lionweb_classification c SET for_review = false, review_state = ''
    WHERE iteration_id = %(iteration)s AND for_review AND NOT audit_slice AND review_state = 'pending'
        AND referee_verdict = 'easy' AND NOT flipped
        AND NOT EXISTS (SELECT 1 FROM lionweb_decision d WHERE d.classification_id = c.id AND d.undone_at IS NULL)
        AND NOT EXISTS (SELECT 1 FROM lionweb_reviewlock l WHERE l.classification_id = c.id AND l.expires_at > %(now)s)
"""
_RANK = """
    WITH doubtful AS (
        SELECT c.id, i.category, i.content_hash, CASE WHEN c.gap IS NULL THEN %(unscored)s WHEN c.flipped THEN %(flipped)s
            ELSE %(scored)s + abs(c.gap - %(tau)s) / %(widest)s END::double precision AS doubt
        FROM lionweb_classification c JOIN lionweb_instruction i ON i.id = c.instruction_id
        WHERE c.iteration_id = %(iteration)s AND c.for_review AND NOT c.audit_slice
    ), ranked AS (
        SELECT id, doubt - %(bonus)s / row_number() OVER (PARTITION BY category ORDER BY doubt, content_hash) AS rank
        FROM doubtful
    )
    UPDATE lionweb_classification c SET queue_rank = ranked.rank FROM ranked
    WHERE c.id = ranked.id AND c.queue_rank IS DISTINCT FROM ranked.rank
"""

_PLACE = """
    UPDATE lionweb_classification c SET queue_rank = n.rank
    FROM unnest(%s::bigint[], %s::double precision[]) AS n (id, rank) WHERE c.id = n.id
"""


def queue_doubtful(iteration: Iteration) -> None:
    """Where every hard item waits for people, those that have become hard do too."""
    if _requires(iteration):
        _run(_JOIN, [iteration.pk])


def drop_doubtless(iteration: Iteration) -> None:
    """Items that have become easy wait no more, unless somebody has decided on them, or has them open just now."""
    if _requires(iteration):
        _run(_LEAVE, {"iteration": iteration.pk, "now": timezone.now()})


def _requires(iteration: Iteration) -> bool:
    return iteration.experiment.settings.gates.review == "require"


def order_queue(iteration: Iteration) -> None:
    """Unscored, then flipped, then by closeness to the iteration's threshold, with the audit slice spread between them."""
    values = {"unscored": UNSCORED, "flipped": FLIPPED, "scored": SCORED, "widest": WIDEST_GAP, "bonus": TOPIC_BONUS}
    _run(_RANK, values | {"iteration": iteration.pk, "tau": iteration.tau})
    queued = Classification.objects.filter(iteration=iteration, for_review=True)
    ranks = list(queued.filter(audit_slice=False).order_by("queue_rank").values_list("queue_rank", flat=True))
    audited = list(queued.filter(audit_slice=True).select_related("instruction"))
    spread(audited, ranks, iteration.experiment.settings.seed)
    _run(_PLACE, [[row.pk for row in audited], [row.queue_rank for row in audited]])


def _run(statement: str, values: Sequence[Any] | Mapping[str, Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
