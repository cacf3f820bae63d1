"""A past iteration's decisions once more, from what is stored: as a branch, an experiment of its own that goes on from there."""

from dataclasses import replace
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, OuterRef

from distill.fingerprints import referee_name
from distill.settings import REPEATABLE_MODES, ExperimentSettings
from lionweb.models import (
    EXCLUDING,
    Classification,
    Decision,
    Experiment,
    Iteration,
    MemberPool,
    Membership,
    Review,
    Stage,
    StageEvent,
    StageKind,
    StageStatus,
    User,
)
from lionweb.services import audit
from lionweb.services.errors import Refused
from lionweb.services.replay_copies import Copies
from lionweb.services.requeue import order_queue
from lionweb.services.settling import settle_held
from lionweb.services.thresholds import check_tau, hold_gate_alone
from lionweb.services.transitions import transition
from lionweb.stages.classify import Classify

BATCH = 2000
SAMPLE = 100
JUDGED = list(StageKind).index(StageKind.JUDGE) + 1
"""How many stages of an iteration lie behind it once it is judged."""


@transaction.atomic
def replay(
    *,
    iteration: Iteration,
    actor: User,
    name: str,
    tau: float | None = None,
    with_overrides: bool = True,
    mode: str | None = None,
) -> Experiment:
    """A branch that stands where this iteration was judged, with its verdicts made anew. Nothing is called, nothing starts.

    tau: another threshold; None keeps the iteration's. mode: another referee whose reviews are stored.
    with_overrides: whether people's decisions on this iteration, their corrections and exclusions come along; those of
    earlier iterations always do, as its pools and its student rest on them.

    Raises:
        SettingsError: tau is out of range.
        Refused: no name, not judged yet, or no reviews of that mode.
    """
    if not name.strip():
        raise Refused("The branch has no name.", "Give it one; it stands in every list.")
    held = Iteration.objects.select_for_update(no_key=True, of=("self",)).select_related("experiment__endpoint")
    iteration = held.get(pk=iteration.pk)
    if iteration.stages.get(kind=StageKind.JUDGE).status != StageStatus.SUCCEEDED:
        raise Refused("The referee is not through with this iteration.", "Replay it once it is judged.")
    hold_gate_alone(iteration)
    settings = _settings(iteration, iteration.tau if tau is None else check_tau(iteration, tau), mode)
    branch = _branch(iteration, actor, name.strip(), settings)
    _copy(iteration, branch)
    copied = branch.iterations.get(number=iteration.number)
    if not with_overrides:
        _take_in_again(iteration, branch)
    Classify(copied.stages.get(kind=StageKind.JUDGE), _preferences(iteration)).work()
    _check_answers(iteration, copied)
    _check_scores(iteration, copied)
    if with_overrides:
        _settle(iteration, branch, copied)
    _say(iteration, copied, actor)
    audit.record(
        actor=actor, action="experiment.replay", target=branch, name=branch.name, iteration=iteration.number,
        replayed=iteration.experiment.name, of=iteration.pk, tau=settings.referee.tau, mode=settings.referee.mode,
        with_overrides=with_overrides,
    )  # fmt: skip
    return branch


def stored_modes(iteration: Iteration) -> list[str]:
    """Referee modes by which this iteration's student was reviewed, told from a few answers; that of its settings first."""
    own = iteration.experiment.settings.referee.mode
    some = iteration.classifications.filter(student_response__isnull=False).order_by("pk")[:SAMPLE]
    reviews = Review.objects.filter(student_response__in=list(some.values_list("student_response", flat=True)))
    found = {name.partition(":")[0] for name in reviews.order_by().values_list("referee", flat=True).distinct()}
    return [own, *sorted(found - {own})]


def _referees(iteration: Iteration) -> list[tuple[str, int]]:
    """Names of the referees with reviews of this iteration's student, those with most first."""
    checkpoint = iteration.experiment.checkpoints.filter(number=iteration.number)
    reviews = Review.objects.filter(student_response__checkpoint__in=checkpoint).order_by()
    return list(reviews.values_list("referee").annotate(n=Count("pk")).order_by("-n", "referee"))


def _settings(iteration: Iteration, tau: float, mode: str | None) -> ExperimentSettings:
    settings, author = iteration.experiment.settings, iteration.experiment.endpoint.author
    referee = replace(settings.referee, tau=tau)
    if mode is None or mode == referee.mode:
        return replace(settings, referee=referee)
    names = [name for name, _ in _referees(iteration)]
    for name in [name for name in names if name.startswith(f"{mode}:")]:
        weights = name.partition(":")[2] if mode == "likelihood" else referee.weights
        once: dict[str, Any] = {} if mode in REPEATABLE_MODES else {"stability_percent": 0.0, "second_referee": "off"}
        changed = replace(settings, referee=replace(referee, mode=mode, weights=weights, **once))
        if referee_name(changed, author) == name:
            return changed
    raise Refused(
        f"This iteration has no stored reviews of the mode {mode}, and a replay asks no model.",
        "Keep its mode, or clone the experiment with the other referee.",
    )


def _branch(iteration: Iteration, actor: User, name: str, settings: ExperimentSettings) -> Experiment:
    source = Experiment.objects.get(pk=iteration.experiment_id)
    cloned = source.pk
    source.pk, source.name, source.owner = None, name, actor
    source._state.adding = True
    source.settings_json, source.planned_iterations = settings.to_json(), iteration.number
    source.cloned_from_id, source.replay_of = cloned, iteration
    source.save()
    return source


def _copy(iteration: Iteration, branch: Experiment) -> None:
    copies = Copies(iteration.experiment, branch, iteration.number)
    copies.iterations(iteration.experiment.settings.referee.tau)
    copies.stages(JUDGED)
    copies.checkpoints()
    copies.metrics()
    copies.student_responses()
    copies.reviews()
    copies.candidates()
    copies.memberships()
    copies.earlier_verdicts()


def _preferences(iteration: Iteration) -> dict[int, float]:
    """Gaps of imported preferences: they stand in the verdicts alone."""
    if iteration.experiment.settings.referee.mode != "imported":
        return {}
    rows = iteration.classifications.filter(score_teacher=None, gap__isnull=False)
    return {one: gap for one, gap in rows.values_list("instruction", "gap") if gap is not None}


def _take_in_again(iteration: Iteration, branch: Experiment) -> None:
    """What people took out of the pools by a decision on this iteration."""
    excluded = Classification.objects.filter(iteration=iteration, person_kind__in=EXCLUDING)
    members = Membership.objects.filter(experiment=branch, until=iteration.number)
    members.filter(instruction__in=excluded.values("instruction")).update(until=None)


def _check_answers(iteration: Iteration, copied: Iteration) -> None:
    """An endpoint that was changed to another model has other answers, if any."""
    answered = [one.classifications.filter(teacher_response__isnull=False).count() for one in (iteration, copied)]
    if answered[1] < answered[0]:
        raise Refused(
            "The teacher's answers of this iteration are no longer found: its endpoint names another model or address now.",
            "Change the endpoint back, replay, and make another endpoint for the other model.",
        )


def _check_scores(iteration: Iteration, copied: Iteration) -> None:
    """The same referee finds as many scores as before, unless its reviews stand under another name now."""
    if iteration.experiment.settings.referee.mode != copied.experiment.settings.referee.mode:
        return
    scored = [one.classifications.filter(gap__isnull=False).count() for one in (iteration, copied)]
    if scored[1] < scored[0]:
        raise Refused(
            f"Of {scored[0]:,} scored pairs {scored[1]:,} are found again: a referee's endpoint names another model or "
            "address now, or its prompt is another.",
            "Change the endpoint back and replay, or clone the experiment and let it be judged anew.",
        )


def _settle(iteration: Iteration, branch: Experiment, copied: Iteration) -> None:
    """People's decisions on the new verdicts. Whatever somebody decided stays in the queue."""
    Copies(iteration.experiment, branch, iteration.number).decisions()
    decided = copied.classifications.filter(Exists(Decision.objects.filter(classification=OuterRef("pk"))))
    ids = list(decided.order_by("pk").values_list("pk", flat=True))
    decided.filter(for_review=False).exclude(pool=MemberPool.HELDOUT).update(for_review=True)
    for start in range(0, len(ids), BATCH):
        rows = Classification.objects.select_for_update(no_key=True, of=("self",)).filter(
            pk__in=ids[start : start + BATCH]
        )
        settle_held(list(rows.select_related("iteration__experiment").order_by("pk")))
    order_queue(copied)


def _say(iteration: Iteration, copied: Iteration, actor: User) -> None:
    """An event for each copied stage; the gate that follows is paused, so that nothing starts by itself."""
    words = f"Replayed from iteration {iteration.number} of {iteration.experiment.name}."
    copies = Stage.objects.filter(iteration__experiment=copied.experiment_id, iteration__number__lt=copied.number)
    behind = [*copies, *copied.stages.filter(position__lte=JUDGED)]
    StageEvent.objects.bulk_create(
        StageEvent(stage=stage, to_status=stage.status, message=words, actor=actor.username) for stage in behind
    )
    gate = copied.stages.get(kind=StageKind.REVIEW)
    transition(stage=gate, to=StageStatus.PAUSED, actor=actor.username, message="Resume it to go on from here.")
