"""Moving the threshold of an iteration after its referee is through: stored gaps decide anew, and nothing is asked again."""

from dataclasses import replace

from django.db import connection, transaction

from distill.settings import RefereeSettings
from lionweb.models import Iteration, Stage, StageKind, StageStatus, User
from lionweb.services import audit
from lionweb.services.errors import Refused
from lionweb.services.requeue import drop_doubtless, order_queue, queue_doubtful
from lionweb.services.settling import settle_verdicts
from lionweb.services.transitions import log

BRANCH = "Make a branch from this iteration instead: it goes on from here with another threshold."
# The comparison of distill.discrimination.judge; the stored gap is rounded as there.
_RECLASSIFY = """
    UPDATE lionweb_classification SET referee_verdict = CASE WHEN gap >= %(tau)s THEN 'hard' ELSE 'easy' END
    WHERE iteration_id = %(iteration)s AND gap IS NOT NULL
        AND referee_verdict <> CASE WHEN gap >= %(tau)s THEN 'hard' ELSE 'easy' END
"""


@transaction.atomic
def apply_threshold(*, iteration: Iteration, actor: User, tau: float) -> int:
    """Judge the iteration's scored items by another threshold. Returns how many of the referee's verdicts changed.

    People's decisions stay, and what follows from them is settled again. The iteration's row keeps the generation from
    beginning meanwhile, the gate's row keeps people from deciding: taken in the order of all others.

    Raises:
        SettingsError: tau is out of range.
        Refused: the referee is not through, or the generation has begun.
    """
    tau = check_tau(iteration, tau)
    held = Iteration.objects.select_for_update(no_key=True, of=("self",)).select_related("experiment")
    iteration = held.get(pk=iteration.pk)
    gate = hold_gate_alone(iteration)
    if refusal := why_fixed(iteration):
        raise Refused(refusal, BRANCH)
    before = iteration.tau
    if tau == before:
        raise Refused(f"The threshold is {tau:g} already.", "Move it first.")
    is_open = gate.status != StageStatus.SUCCEEDED
    changed = _reclassify(iteration, tau)
    _check_all_decided(iteration, is_open)
    Iteration.objects.filter(pk=iteration.pk).update(applied_tau=tau)
    iteration.applied_tau = tau
    settle_verdicts(iteration)
    if is_open:
        queue_doubtful(iteration)
        drop_doubtless(iteration)
        order_queue(iteration)
    words = f"Threshold moved from {before:g} to {tau:g}; {changed:,} verdicts of the referee changed."
    log(stage=iteration.stages.get(kind=StageKind.JUDGE), message=words, actor=actor.username)
    audit.record(
        actor=actor, action="threshold.apply", target=iteration, before=before, after=tau, changed=changed,
        iteration=iteration.number,
    )  # fmt: skip
    return changed


def check_tau(iteration: Iteration, tau: float) -> float:
    """Raises SettingsError where no experiment may have this threshold."""
    settings: RefereeSettings = replace(iteration.experiment.settings.referee, tau=tau)
    return settings.tau


def hold_gate_alone(iteration: Iteration) -> Stage:
    """The review gate, on which nobody decides until the transaction ends."""
    return Stage.objects.select_for_update(no_key=True).get(iteration=iteration, kind=StageKind.REVIEW)


def why_fixed(iteration: Iteration) -> str | None:
    """Why the threshold cannot be moved in place, or None."""
    stages = {stage.kind: stage for stage in iteration.stages.all()}
    generate = stages[StageKind.GENERATE]
    if stages[StageKind.JUDGE].status != StageStatus.SUCCEEDED:
        return "The referee is not through with this iteration."
    if generate.started_at or iteration.candidates.exists():
        return "The generation of this iteration has begun from the verdicts as they are."
    return None


def _reclassify(iteration: Iteration, tau: float) -> int:
    with connection.cursor() as cursor:
        cursor.execute(_RECLASSIFY, {"tau": tau, "iteration": iteration.pk})
        return cursor.rowcount


def _check_all_decided(iteration: Iteration, is_open: bool) -> None:
    """Once the gate is closed nobody can be asked any more; with the policy `require` somebody would have to be."""
    if is_open or iteration.experiment.settings.gates.review != "require":
        return
    left = iteration.classifications.filter(pool="cache", referee_verdict="hard", person_kind="", for_review=False)
    if count := left.count():
        items = "item" if count == 1 else "items"
        raise Refused(
            f"{count:,} more {items} would be hard, this experiment requires a decision on each, and the review is closed.",
            BRANCH,
        )
