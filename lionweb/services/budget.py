"""The hard budget of an experiment and of an iteration: what is left of it, and the pause when it is spent.

A claim is a reserved call: claims of all workers together count as calls in flight, so that two of them never spend the
same money.
"""

import math
from dataclasses import dataclass

from django.db import connection, transaction
from django.db.models import Count, Q, Sum

from distill.settings import ExperimentSettings
from lionweb.models import (
    Claim,
    Endpoint,
    Experiment,
    Iteration,
    Lease,
    ModelCall,
    PauseReason,
    Stage,
    StageKind,
    StageStatus,
    User,
)
from lionweb.services import audit
from lionweb.services.errors import Refused
from lionweb.services.transitions import transition
from lionweb.stages.part import CallPart
from lionweb.stages.registry import parts_of

FIRST_WAVE = 4
"""Calls at most before the first of its purpose has shown what one costs."""
PROMPT_TOKENS = 1000
"""Of an instruction with what stands around it, taken as the worst case before the first reply."""
MOST_USD = 1e9


@dataclass(frozen=True)
class Limit:
    scope: str  # "the experiment" or "iteration 2"
    usd: float
    spent_usd: float

    @property
    def left_usd(self) -> float:
        return self.usd - self.spent_usd

    @property
    def share(self) -> float:
        return min(1.0, self.spent_usd / self.usd)


@dataclass(frozen=True)
class Money:
    """Where the money of one part stands. `limits` is empty where nothing is limited, or nothing costs anything.

    call_usd: what one more call is expected to cost; the worst case while `known` is 0.
    others: calls that other workers have reserved.
    """

    limits: tuple[Limit, ...]
    call_usd: float
    known: int
    others: int = 0

    def room(self, in_flight: int) -> int | None:
        """How many more calls fit beside those in flight; None: any number."""
        if not self.limits:
            return None
        left = min(limit.left_usd for limit in self.limits)
        fits = max(0, math.floor(left / self.call_usd + 1e-9) - in_flight)
        return fits if self.known else min(fits, max(0, FIRST_WAVE - in_flight))

    @property
    def tightest(self) -> Limit:
        return min(self.limits, key=lambda limit: limit.left_usd)


def spent_usd(*, experiment: Experiment, iteration: Iteration | None = None) -> float:
    calls = ModelCall.objects.filter(experiment=experiment)
    calls = calls.filter(stage__iteration=iteration) if iteration else calls
    return float(calls.aggregate(sum=Sum("cost_usd"))["sum"] or 0.0)


def limits_of(iteration: Iteration) -> tuple[Limit, ...]:
    """Read afresh: people raise budgets while workers run."""
    fresh = Iteration.objects.select_related("experiment").get(pk=iteration.pk)
    found = []
    if fresh.experiment.budget_usd is not None:
        found.append(Limit("the experiment", fresh.experiment.budget_usd, spent_usd(experiment=fresh.experiment)))
    if fresh.budget_usd is not None:
        spent = spent_usd(experiment=fresh.experiment, iteration=fresh)
        found.append(Limit(f"iteration {fresh.number}", fresh.budget_usd, spent))
    return tuple(found)


def is_limited(iteration_id: int) -> bool:
    limited = Q(budget_usd__isnull=False) | Q(experiment__budget_usd__isnull=False)
    return Iteration.objects.filter(limited, pk=iteration_id).exists()


def read_money(part: CallPart, lease: Lease | None = None) -> Money:
    limits = limits_of(part.stage.iteration) if is_paid(part.endpoint) else ()
    if not limits:
        return Money((), 0.0, 0)
    calls = ModelCall.objects.filter(
        experiment=part.stage.iteration.experiment_id,
        endpoint=part.endpoint,
        purpose=PURPOSES[StageKind(part.stage.kind)],
        paid=True,
    )
    seen = calls.aggregate(count=Count("pk"), sum=Sum("cost_usd"))
    known, total = seen["count"], float(seen["sum"] or 0.0)
    call_usd = total / known if total else worst_call_usd(part)
    others = Claim.objects.filter(lease__stage=part.stage, lease__part=part.name).exclude(lease=lease)
    return Money(limits, call_usd, known if total else 0, others=others.count())


PURPOSES = {
    StageKind.ANSWER: "answer",
    StageKind.COMPARE: "answer",
    StageKind.JUDGE: "review",
    StageKind.GENERATE: "generate",
}
"""What the calls of a stage are paid for, as it stands in the ledger."""


def is_paid(endpoint: Endpoint) -> bool:
    return endpoint.input_usd_per_million > 0 or endpoint.output_usd_per_million > 0


def worst_call_usd(part: CallPart) -> float:
    settings: ExperimentSettings = part.stage.iteration.experiment.settings
    prompt, reply = {
        "answer": (PROMPT_TOKENS, settings.teacher.max_tokens),
        "review": (
            PROMPT_TOKENS + settings.teacher.max_tokens + settings.student.max_new_tokens,
            settings.referee.max_tokens,
        ),
        "generate": (PROMPT_TOKENS, settings.generator.max_tokens),
    }[PURPOSES[StageKind(part.stage.kind)]]
    priced = part.endpoint
    return (prompt * priced.input_usd_per_million + reply * priced.output_usd_per_million) / 1e6


def hold_money(experiment_id: int) -> None:
    """Until the transaction ends nobody else reserves calls of this experiment: two readers would see the same room."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, experiment_id % 2**31])


_LOCK_SPACE = 4107


@transaction.atomic
def pause_for_budget(*, part: CallPart) -> bool:
    """Pause the stage with everything kept, unless there is room again by now."""
    stage = part.stage
    hold_money(stage.iteration.experiment_id)
    money = read_money(part)
    if money.room(money.others) != 0:
        return False
    return transition(stage=stage, to=StageStatus.PAUSED, paused_for=PauseReason.BUDGET, message=_spent_sentence(money))


def _spent_sentence(money: Money) -> str:
    at = money.tightest
    call = f"one more call costs about ${money.call_usd:.6f}" if money.known else (
        f"a first call of this kind may cost ${money.call_usd:.6f}"
    )  # fmt: skip
    return f"The budget of {at.scope} is spent: ${at.spent_usd:.6f} of ${at.usd:.6f}; {call}. Everything is kept."


def check_room(stage: Stage) -> None:
    """Raises Refused where the stage could pay for no further call, and needs one."""
    part = next((one for one in parts_of(stage) if one.open_rows()), None)
    if not isinstance(part, CallPart):
        return  # nothing here is paid for
    money = read_money(part)
    if money.room(0) == 0:
        at = money.tightest
        raise Refused(
            f"The budget of {at.scope} is spent: ${at.spent_usd:.4f} of ${at.usd:.4f}, "
            f"and one more call may cost ${money.call_usd:.4f}.",
            f"Raise the budget of {at.scope}; it then goes on by itself.",
        )


@transaction.atomic
def raise_budget(
    *,
    experiment: Experiment,
    actor: User | None,
    usd: float | None,
    iteration: Iteration | None = None,
    go_on: bool = True,
) -> None:
    """Set the budget of the experiment, or of one of its iterations; None lifts it. What paused for it goes on.

    go_on False: another change follows, and only both together leave room.

    Raises:
        Refused: it is no amount, less than what was spent, or too little for one more call of a paused stage.
    """
    from lionweb.services import controls  # they ask this module whether a stage may go on

    hold_money(experiment.pk)
    checked_budget(usd)
    spent = spent_usd(experiment=experiment, iteration=iteration)
    if usd is not None and usd < spent - 1e-9:
        raise Refused(f"${spent:.4f} is spent already.", "Enter more than that, or pause the experiment to stop it.")
    target: Experiment | Iteration = iteration or experiment
    before = target.budget_usd
    type(target).objects.filter(pk=target.pk).update(budget_usd=usd)  # type: ignore[attr-defined]
    target.refresh_from_db()
    scope = f"iteration {iteration.number}" if iteration else "the experiment"
    audit.record(
        actor=actor, action="budget.change", target=target, experiment=experiment, scope=scope, before=before, after=usd
    )
    stage = controls.current_stage(experiment)
    if go_on and stage and stage.status == StageStatus.PAUSED and stage.paused_for == PauseReason.BUDGET:
        controls.resume(experiment=experiment, actor=actor)


def checked_budget(usd: float | None) -> float | None:
    if usd is not None and not (math.isfinite(usd) and 0 < usd <= MOST_USD):
        raise Refused("A budget is a positive amount of US dollars.", "Enter one, or leave it empty for no limit.")
    return usd
