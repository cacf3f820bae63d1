"""The approval gate: who may decide, what a decision changes on the page, and how the iteration goes on."""

from dataclasses import replace

import pytest

from distill.settings import GateSettings
from lionweb.models import Approval, Membership, Stage, StageKind, StageStatus
from tests import factories as make

HTMX = {"HX-Request": "true"}


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


def candidates(iteration):
    return iteration.candidates.filter(rejected="").order_by("pk")


class TestApproval:
    def test_new_instructions_stand_beside_their_parents(self, annotator, iteration):
        made = candidates(iteration).first()
        type(made).objects.filter(pk=made.pk).update(nearest="A near <one>", rouge_l=0.55)

        page = annotator.get(approval_url(iteration)).content.decode()

        assert "<strong>16</strong> of 16 still open" in page
        assert "A near &lt;one&gt;" in page
        assert "0.55" in page

    @pytest.mark.parametrize(("decision", "approval"), [("approve", "approved"), ("reject", "rejected")])
    def test_a_decision_holds_for_both_pools(self, annotator, iteration, decision, approval):
        made = candidates(iteration).first()

        annotator.post(f"/candidates/{made.pk}/approval/", {"decision": decision})

        rows = Membership.objects.filter(instruction=made.instruction, since=2)
        assert [(row.approval, row.decided_by.username) for row in rows] == [(approval, "bob")] * 2

    def test_with_htmx_the_item_and_the_count_are_swapped(self, annotator, iteration):
        made = candidates(iteration).first()

        page = annotator.post(f"/candidates/{made.pk}/approval/", {"decision": "reject"}, headers=HTMX).content.decode()

        assert "<strong>rejected</strong>" in page
        assert "<strong>15</strong> of 16 still open" in page

    def test_all_open_ones_are_approved_at_once(self, annotator, iteration):
        first = candidates(iteration).first()
        annotator.post(f"/candidates/{first.pk}/approval/", {"decision": "reject"})

        answer = annotator.post(approval_url(iteration, "all/"), follow=True)

        assert "15 instructions were approved." in answer.content.decode()
        counts = annotator.get(approval_url(iteration)).context["gate"].counts
        assert counts == {"open": 0, "all": 16, "approved": 15, "rejected": 1}

    def test_what_the_sample_passed_over_is_not_asked(self, annotator, iteration):
        one = candidates(iteration).first()
        Membership.objects.filter(instruction=one.instruction).update(approval=Approval.APPROVED)

        assert annotator.get(approval_url(iteration)).context["gate"].counts["all"] == 15

    def test_a_viewer_may_not_decide(self, client, charlie, iteration):
        client.force_login(charlie)
        made = candidates(iteration).first()

        assert client.post(f"/candidates/{made.pk}/approval/", {"decision": "approve"}).status_code == 403
        assert client.post(approval_url(iteration, "all/")).status_code == 403

    def test_an_unknown_decision_is_a_bad_request(self, annotator, iteration):
        made = candidates(iteration).first()

        assert annotator.post(f"/candidates/{made.pk}/approval/", {"decision": "perhaps"}).status_code == 400

    def test_only_a_researcher_lets_the_iteration_go_on(self, client, alice, bob, iteration):
        client.force_login(bob)
        assert client.post(approval_url(iteration, "close/")).status_code == 403
        client.force_login(alice)

        client.post(approval_url(iteration, "close/"))

        assert iteration.stages.get(kind=StageKind.APPROVE).status == StageStatus.SUCCEEDED

    def test_the_number_of_queries_is_fixed(self, annotator, iteration, django_assert_max_num_queries):
        with django_assert_max_num_queries(8):
            annotator.get(approval_url(iteration))


def test_a_stage_leads_to_its_gate(annotator, iteration):
    stages = {stage.kind: stage.pk for stage in Stage.objects.filter(iteration=iteration)}

    assert annotator.get(f"/stages/{stages['review']}/review/")["Location"] == review_url(iteration)
    assert annotator.get(f"/stages/{stages['approve']}/approval/")["Location"] == approval_url(iteration)
    assert annotator.get(f"/stages/{stages['train']}/review/").status_code == 404
