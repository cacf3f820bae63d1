"""An iteration that waits for review, and people who give their opinions on it."""

from dataclasses import replace

from distill.settings import GateSettings
from lionweb.models import StageKind, StageStatus, User
from lionweb.services.reviews import decide
from tests import factories as make


def waiting_iteration(owner, items=8, audit=0, name="Small student", start=0, **gates):
    """`items` judged instructions in the queue, half of them hard; the first `audit` of them drawn at random."""
    settings = replace(make.SMALL, gates=GateSettings(**{"review": "sample"} | gates))
    pool = make.Pool.objects.first() or make.make_pool("Sample", rows=30)
    experiment = make.make_experiment(owner, name, settings, pool=pool)
    iteration = make.make_iteration(experiment, done=4, current=StageStatus.WAITING)
    checkpoint = make.make_checkpoint(iteration)
    gaps = [2.0 if place % 2 == 0 else 0.2 for place in range(items)]
    needed = settings.gates.reviewers_per_item
    make.classify(
        iteration, checkpoint, make.make_instructions(items, start), gaps, for_review=True, opinions_needed=needed
    )
    for place, row in enumerate(iteration.classifications.order_by("pk")):
        row.queue_rank, row.audit_slice = place, place < audit
        row.save(update_fields=["queue_rank", "audit_slice"])
    return iteration


def items_of(iteration):
    return list(iteration.classifications.order_by("pk"))


def say(item, person, kind, **said):
    return decide(classification=item, person=person, kind=kind, **said)


def annotators(*names):
    return [User.objects.create_user(name, password=f"{name}-password", role="annotator") for name in names]


def disagree(item, one, other, kinds=("hard", "easy"), **said):
    """Two opinions that do not fit together."""
    found = [say(item, person, kind, **said) for person, kind in zip((one, other), kinds, strict=True)]
    item.refresh_from_db()
    return found


def close_gate(iteration):
    iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.SUCCEEDED)
