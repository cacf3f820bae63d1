"""A stage's address leads to its gate."""

from dataclasses import replace

import pytest

from distill.settings import GateSettings
from lionweb.models import Approval, Membership, Stage, StageKind, StageStatus
from tests import factories as make


@pytest.fixture
def iteration(alice):
    """Waits at the approval gate with 16 new instructions."""
    settings = replace(make.SMALL, gates=GateSettings(review="sample", approval="sample"))
    experiment = make.make_experiment(alice, pool=make.make_pool("Sample", rows=30), settings=settings)
    iteration = make.finish_iteration(experiment)
    iteration.finished_at = None
    iteration.save()
    iteration.stages.filter(kind__in=(StageKind.REVIEW, StageKind.APPROVE)).update(status=StageStatus.WAITING)
    Membership.objects.filter(experiment=experiment, since=2).update(approval=Approval.PENDING)
    return iteration


@pytest.fixture
def annotator(client, bob):
    client.force_login(bob)
    return client


def review_url(iteration, end=""):
    return f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/review/{end}"


def approval_url(iteration, end=""):
    return f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/approval/{end}"


def test_a_stage_leads_to_its_gate(annotator, iteration):
    stages = {stage.kind: stage.pk for stage in Stage.objects.filter(iteration=iteration)}

    assert annotator.get(f"/stages/{stages['review']}/review/")["Location"] == review_url(iteration)
    assert annotator.get(f"/stages/{stages['approve']}/approval/")["Location"] == approval_url(iteration)
    assert annotator.get(f"/stages/{stages['train']}/review/").status_code == 404
