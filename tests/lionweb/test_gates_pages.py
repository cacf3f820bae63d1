"""The two gates: who may decide, what a decision changes on the page, and how the iteration goes on."""

from dataclasses import replace

import pytest

from distill.settings import GateSettings
from lionweb.models import Approval, Classification, Membership, Stage, StageKind, StageStatus
from tests import factories as make

HTMX = {"HX-Request": "true"}


@pytest.fixture
def iteration(alice):
    """Waits at the review gate with 11 items, and would wait at the approval gate with 16."""
    settings = replace(make.SMALL, gates=GateSettings(review="sample", approval="sample"))
    experiment = make.make_experiment(alice, pool=make.make_pool("Sample", rows=30), settings=settings)
    iteration = make.finish_iteration(experiment)
    iteration.finished_at = None
    iteration.save()
    iteration.classifications.filter(pool="cache").exclude(referee_verdict="easy").update(for_review=True)
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


def items(iteration, **where):
    return Classification.objects.filter(iteration=iteration, for_review=True, **where).order_by("pk")


class TestReview:
    def test_the_most_doubtful_stand_first(self, annotator, iteration):
        flipped = items(iteration, referee_verdict="hard").last()
        Classification.objects.filter(pk=flipped.pk).update(flipped=True)

        shown = annotator.get(review_url(iteration)).context["gate"].items

        assert [one.referee_verdict for one in shown[:2]] == ["unscored", "unscored"]
        assert shown[2].pk == flipped.pk
        rest = [abs(one.gap - 1.0) for one in shown[3:]]
        assert rest == sorted(rest)

    def test_only_items_set_aside_for_people_are_shown(self, annotator, iteration):
        assert annotator.get(review_url(iteration)).context["gate"].counts["all"] == 11

    @pytest.mark.parametrize(
        ("show", "count"), [("hard", 9), ("easy", 0), ("unscored", 2), ("decided", 0), ("all", 11)]
    )
    def test_filters(self, annotator, iteration, show, count):
        assert len(annotator.get(review_url(iteration), {"show": show}).context["gate"].items) == count

    @pytest.mark.parametrize(("word", "verdict"), [("easy", "easy"), ("hard", "hard"), ("confirm", "hard")])
    def test_an_annotator_decides_without_javascript(self, annotator, iteration, word, verdict):
        item = items(iteration, referee_verdict="hard").first()
        sent = {"verdict": word, "reason": "Because.", "next": review_url(iteration) + "?show=hard"}

        answer = annotator.post(f"/classifications/{item.pk}/verdict/", sent)

        item.refresh_from_db()
        assert (item.person_verdict, item.verdict, item.person.username) == (verdict, verdict, "bob")
        assert (item.person_reason, item.referee_verdict) == ("Because.", "hard")
        assert answer["Location"] == f"{review_url(iteration)}?show=hard#item-{item.pk}"

    def test_with_htmx_the_item_and_the_count_are_swapped(self, annotator, iteration):
        item = items(iteration).first()

        answer = annotator.post(f"/classifications/{item.pk}/verdict/", {"verdict": "easy"}, headers=HTMX)

        page = answer.content.decode()
        assert f'id="item-{item.pk}"' in page
        assert 'id="gate-summary" hx-swap-oob="true"' in page
        assert "<strong>10</strong> of 11 still open" in page

    def test_a_decision_can_be_taken_back(self, annotator, iteration):
        item = items(iteration, referee_verdict="hard").first()
        annotator.post(f"/classifications/{item.pk}/verdict/", {"verdict": "easy"})

        annotator.post(f"/classifications/{item.pk}/verdict/", {"verdict": ""})

        item.refresh_from_db()
        assert (item.person_verdict, item.person_at, item.verdict) == (None, None, "hard")

    @pytest.mark.parametrize("verdict", ["maybe", "HARD", "<b>"])
    def test_an_unknown_verdict_is_a_bad_request(self, annotator, iteration, verdict):
        item = items(iteration).first()

        assert annotator.post(f"/classifications/{item.pk}/verdict/", {"verdict": verdict}).status_code == 400

    def test_a_viewer_sees_but_may_not_decide(self, client, charlie, iteration):
        client.force_login(charlie)

        page = client.get(review_url(iteration)).content.decode()

        assert 'name="verdict"' not in page
        item = items(iteration).first()
        assert client.post(f"/classifications/{item.pk}/verdict/", {"verdict": "easy"}).status_code == 403

    def test_once_the_iteration_has_moved_on_a_late_click_says_so(self, annotator, iteration):
        item = items(iteration).first()
        iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.SUCCEEDED)

        page = annotator.post(
            f"/classifications/{item.pk}/verdict/", {"verdict": "easy"}, headers=HTMX
        ).content.decode()

        assert "has moved on" in page
        item.refresh_from_db()
        assert item.person_verdict is None

    def test_the_way_back_leads_nowhere_else(self, annotator, iteration):
        item = items(iteration).first()

        for away in ("https://evil.example/", "//evil.example", "/sign-out/"):
            answer = annotator.post(f"/classifications/{item.pk}/verdict/", {"verdict": "easy", "next": away})
            assert answer["Location"] == f"{review_url(iteration)}#item-{item.pk}"

    def test_hostile_answers_and_reasons_are_escaped(self, annotator, iteration):
        item = items(iteration).first()
        item.student_response.text = "<script>alert(1)</script>"
        item.student_response.save()
        annotator.post(f"/classifications/{item.pk}/verdict/", {"verdict": "easy", "reason": "<img src=x>\x00"})

        page = annotator.get(review_url(iteration), {"show": "all"}).content.decode()

        assert "<script>alert" not in page
        assert "<img src=x>" not in page

    def test_the_number_of_queries_is_fixed(self, annotator, iteration, django_assert_max_num_queries):
        with django_assert_max_num_queries(8):
            annotator.get(review_url(iteration))

    @pytest.mark.parametrize("number", [2, 99])
    def test_an_iteration_that_is_not_there_is_not_found(self, annotator, iteration, number):
        assert annotator.get(f"/experiments/{iteration.experiment_id}/iterations/{number}/review/").status_code == 404


class TestClosingTheReview:
    def test_a_researcher_closes_it_and_the_iteration_goes_on(self, client, alice, iteration):
        client.force_login(alice)

        answer = client.post(review_url(iteration, "close/"), follow=True)

        assert iteration.stages.get(kind=StageKind.REVIEW).status == StageStatus.SUCCEEDED
        assert "goes on" in answer.content.decode()

    def test_an_annotator_may_not(self, annotator, iteration):
        assert annotator.post(review_url(iteration, "close/")).status_code == 403

    def test_if_every_decision_is_required_it_says_how_many_are_left(self, client, alice, iteration):
        settings = replace(make.SMALL, gates=GateSettings(review="require", approval="require"))
        iteration.experiment.settings_json = settings.to_json()
        iteration.experiment.save()
        client.force_login(alice)

        answer = client.post(review_url(iteration, "close/"), follow=True)

        assert "11 items are still open" in answer.content.decode()
        assert iteration.stages.get(kind=StageKind.REVIEW).status == StageStatus.WAITING

    def test_a_second_click_changes_nothing_and_says_so(self, client, alice, iteration):
        client.force_login(alice)
        client.post(review_url(iteration, "close/"))

        answer = client.post(review_url(iteration, "close/"), follow=True)

        assert "not waiting" in answer.content.decode()


def test_a_stage_leads_to_its_gate(annotator, iteration):
    stages = {stage.kind: stage.pk for stage in Stage.objects.filter(iteration=iteration)}

    assert annotator.get(f"/stages/{stages['review']}/review/")["Location"] == review_url(iteration)
    assert annotator.get(f"/stages/{stages['approve']}/approval/")["Location"] == approval_url(iteration)
    assert annotator.get(f"/stages/{stages['train']}/review/").status_code == 404
