"""What the tests of the approval gate share: an iteration that waits there with sixteen new instructions."""

from dataclasses import replace

from distill.settings import GateSettings, GeneratorSettings
from lionweb.models import Approval, MemberPool, Membership, StageKind, StageStatus
from lionweb.neighbours import _kept
from lionweb.services import leaks
from tests import factories as make


def waiting_iteration(owner, approval="sample", leak_policy="badge"):
    settings = replace(
        make.SMALL,
        gates=GateSettings(approval=approval, approval_sample_percent=100.0),
        generator=GeneratorSettings(hard=8, easy=8, leak_policy=leak_policy),
    )
    experiment = make.make_experiment(owner, pool=make.make_pool("Sample", rows=30), settings=settings)
    iteration = make.finish_iteration(experiment)
    iteration.finished_at = None
    iteration.save()
    iteration.stages.filter(kind=StageKind.APPROVE).update(status=StageStatus.WAITING)
    Membership.objects.filter(experiment=experiment, since=2).update(approval=Approval.PENDING)
    for place, row in enumerate(members(iteration)):
        Membership.objects.filter(candidate=row.candidate).update(similarity=round(0.2 + place * 0.03, 2))
    return iteration


def forget_caches():
    """Each process keeps indexes by primary key, and tests give out the same keys again."""
    _kept.cache_clear()
    leaks._known.cache_clear()


def gate_of(iteration):
    return iteration.stages.select_related("iteration__experiment").get(kind=StageKind.APPROVE)


def candidates(iteration):
    return iteration.candidates.filter(rejected="").order_by("pk")


def members(iteration, pool=MemberPool.CACHE):
    rows = Membership.objects.filter(experiment=iteration.experiment, since=iteration.number + 1, pool=pool)
    return rows.order_by("candidate")


def state(candidate):
    """Approval, reason and text of the candidate in both pools, which must agree."""
    rows = Membership.objects.filter(candidate=candidate).values_list("approval", "rejected_reason", "instruction")
    assert len(set(rows)) == 1
    return rows[0]


def url(iteration, end="", query=""):
    return f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/approval/{end}{query}"
