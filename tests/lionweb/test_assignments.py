"""Who may review which experiment, and what waits for whom."""

import pytest
from django.utils import timezone

from lionweb.models import Approval, Assignment, AuditEvent, MemberPool, MemberSource, StageKind, StageStatus
from lionweb.selectors.people import waiting_for
from lionweb.services.assignments import assign, may_review, unassign
from lionweb.services.errors import Refused
from lionweb.services.review_locks import take, take_next
from tests import factories as make
from tests import review_factories as review


@pytest.fixture
def iteration(alice):
    return review.waiting_iteration(alice)


@pytest.fixture
def other(db):
    return review.annotators("eve")[0]


class TestWhoMay:
    def test_without_an_assignment_every_annotator_may(self, iteration, alice, bob, charlie, dora):
        allowed = [
            person.username for person in (alice, bob, charlie, dora) if may_review(person, iteration.experiment)
        ]

        assert allowed == ["alice", "bob", "dora"]

    def test_with_one_only_those_who_are_assigned_and_researchers(self, iteration, alice, bob, other, dora):
        assign(experiment=iteration.experiment, user=bob, actor=alice)

        allowed = [p.username for p in (alice, bob, other, dora) if may_review(p, iteration.experiment)]

        assert allowed == ["alice", "bob", "dora"]

    def test_another_experiment_is_not_touched(self, iteration, alice, bob, other):
        assign(experiment=iteration.experiment, user=bob, actor=alice)

        assert may_review(other, review.waiting_iteration(alice, name="Second", start=20).experiment)

    def test_the_last_one_taken_back_opens_it_again(self, iteration, alice, bob, other):
        assign(experiment=iteration.experiment, user=bob, actor=alice)
        unassign(experiment=iteration.experiment, user=bob, actor=alice)

        assert may_review(other, iteration.experiment)

    def test_an_assigned_person_who_became_a_viewer_may_not(self, iteration, alice, bob):
        assign(experiment=iteration.experiment, user=bob, actor=alice)
        bob.role = "viewer"
        bob.save()

        assert not may_review(bob, iteration.experiment)

    @pytest.mark.parametrize("change", [{"role": "viewer"}, {"is_active": False}])
    def test_those_who_may_not_review_any_more_do_not_close_it_to_others(
        self, client, iteration, alice, bob, other, change
    ):
        assign(experiment=iteration.experiment, user=bob, actor=alice)
        type(bob).objects.filter(pk=bob.pk).update(**change)
        client.force_login(alice)

        assert may_review(other, iteration.experiment)
        assert [(row.iteration, row.is_assigned) for row in waiting_for(other)] == [(iteration, False)]
        page = client.get(f"/experiments/{iteration.experiment_id}/reviewers/").content.decode()
        assert "None of those assigned may review at present" in page

    def test_a_viewer_cannot_be_assigned(self, iteration, alice, charlie):
        with pytest.raises(Refused, match="may not review"):
            assign(experiment=iteration.experiment, user=charlie, actor=alice)

    def test_assigning_twice_is_once_and_both_ways_are_audited(self, iteration, alice, bob):
        for _ in range(2):
            assign(experiment=iteration.experiment, user=bob, actor=alice)
        for _ in range(2):
            unassign(experiment=iteration.experiment, user=bob, actor=alice)

        events = AuditEvent.objects.filter(action__startswith="assignment.").order_by("pk")
        assert [(e.action, e.experiment, e.detail) for e in events] == [
            ("assignment.add", iteration.experiment, {"user": "bob"}),
            ("assignment.remove", iteration.experiment, {"user": "bob"}),
        ]


class TestEnforcement:
    @pytest.mark.parametrize("act", ["take_next", "take", "decide"])
    def test_somebody_else_can_neither_open_nor_decide(self, iteration, alice, bob, other, act):
        assign(experiment=iteration.experiment, user=bob, actor=alice)
        item = review.items_of(iteration)[0]
        ways = {
            "take_next": lambda: take_next(iteration=iteration, person=other),
            "take": lambda: take(classification=item, person=other),
            "decide": lambda: review.say(item, other, "hard"),
        }

        with pytest.raises(Refused, match="Other people are assigned"):
            ways[act]()

        assert not item.decisions.exists()

    def test_the_page_shows_them_the_item_and_why_they_cannot_decide(self, client, iteration, alice, bob, other):
        assign(experiment=iteration.experiment, user=bob, actor=alice)
        client.force_login(other)

        page = client.get(f"/experiments/{iteration.experiment_id}/iterations/1/review/").content.decode()

        assert "Other people are assigned to review this experiment." in page
        assert "/decide/" not in page

    def test_those_who_are_assigned_go_on(self, iteration, alice, bob):
        assign(experiment=iteration.experiment, user=bob, actor=alice)

        item = take_next(iteration=iteration, person=bob)
        review.say(item, bob, "hard")

        assert item.decisions.get().person == bob


class TestPage:
    def url(self, iteration, rest=""):
        return f"/experiments/{iteration.experiment_id}/reviewers/{rest}"

    def test_a_researcher_assigns_and_removes(self, client, iteration, alice, bob):
        client.force_login(alice)
        client.post(self.url(iteration, "add/"), {"user": bob.pk})
        assert Assignment.objects.get().assigned_by == alice
        assert "Only these people review" in client.get(self.url(iteration)).content.decode()

        client.post(self.url(iteration, "remove/"), {"user": bob.pk})

        assert not Assignment.objects.exists()
        assert "every annotator may review" in client.get(self.url(iteration)).content.decode()

    def test_an_annotator_sees_and_does_not_change_it(self, client, iteration, bob):
        client.force_login(bob)

        assert "Assign" not in client.get(self.url(iteration)).content.decode()
        assert client.post(self.url(iteration, "add/"), {"user": bob.pk}).status_code == 403

    @pytest.mark.parametrize("user", ["", "x", "999999", "9" * 30])
    def test_nobody_is_not_found(self, client, iteration, alice, user):
        client.force_login(alice)

        assert client.post(self.url(iteration, "add/"), {"user": user}).status_code == 404

    def test_viewers_are_not_offered(self, client, iteration, alice, bob, charlie):
        client.force_login(alice)

        assert set(client.get(self.url(iteration)).context["page"].others) == {alice, bob}


class TestMyReviews:
    def test_what_i_decided_flagged_or_skipped_does_not_wait_for_me(self, iteration, alice, bob):
        one, two, three, *_ = review.items_of(iteration)
        review.say(one, bob, "hard")
        review.say(two, bob, "flag")
        review.say(three, bob, "skip")

        (row,) = waiting_for(bob)

        assert (row.mine, row.open, row.done_by_me) == (5, 7, 1)

    def test_a_deleted_instruction_waits_for_nobody(self, iteration, bob):
        one, two, *_ = review.items_of(iteration)
        review.say(one, bob, "flag")
        for item in (one, two):
            type(item.instruction).objects.filter(pk=item.instruction_id).update(deleted_at=timezone.now())

        assert [(row.mine, row.open) for row in waiting_for(bob)] == [(6, 6)]

    def test_with_two_reviewers_an_item_waits_for_the_second(self, alice, bob, other):
        iteration = review.waiting_iteration(alice, items=4, reviewers_per_item=2)
        for item in review.items_of(iteration)[:3]:
            review.say(item, bob, "hard")

        assert [(row.mine, row.open) for row in waiting_for(bob)] == [(1, 4)]
        assert [(row.mine, row.open) for row in waiting_for(other)] == [(4, 4)]

    def test_experiments_of_others_are_left_out_and_mine_come_first(self, iteration, alice, bob, other):
        second = review.waiting_iteration(alice, name="Second", start=20)
        third = review.waiting_iteration(alice, name="Third", start=40)
        assign(experiment=second.experiment, user=other, actor=alice)
        assign(experiment=third.experiment, user=bob, actor=alice)

        rows = waiting_for(bob)

        assert [(row.iteration, row.is_assigned) for row in rows] == [(third, True), (iteration, False)]
        assert {row.iteration for row in waiting_for(alice)} == {iteration, second, third}

    def test_conflicts_wait_for_researchers(self, alice, bob, other):
        iteration = review.waiting_iteration(alice, items=1, reviewers_per_item=2)
        review.disagree(review.items_of(iteration)[0], bob, other)

        assert [row.conflicts for row in waiting_for(alice)] == [1]
        assert waiting_for(bob) == []

    def test_new_instructions_wait_for_approval(self, iteration, bob):
        review.close_gate(iteration)
        iteration.stages.filter(kind=StageKind.APPROVE).update(status=StageStatus.WAITING)
        new = make.make_instructions(3, start=60)
        for pool in (MemberPool.TRAIN, MemberPool.CACHE):
            make.add_members(
                iteration.experiment, pool, new, since=2, source=MemberSource.HARD, approval=Approval.PENDING
            )

        assert [(row.kind, row.mine) for row in waiting_for(bob)] == [("approve", 3)]

    def test_the_page_leads_to_the_queue(self, client, iteration, bob):
        client.force_login(bob)

        page = client.get("/my-reviews/").content.decode()

        assert f'href="/experiments/{iteration.experiment_id}/iterations/1/review/"' in page
        assert "<strong>8</strong>" in page

    def test_with_nothing_to_do_it_says_so(self, client, bob):
        client.force_login(bob)

        assert "Nothing waits for you" in client.get("/my-reviews/").content.decode()

    def test_it_costs_no_more_with_more_experiments(self, client, alice, bob, django_assert_max_num_queries):
        for number in range(5):
            review.waiting_iteration(alice, items=2, name=f"E{number}", start=10 * number)
        client.force_login(bob)

        with django_assert_max_num_queries(7):
            client.get("/my-reviews/")

    def test_a_viewer_has_none(self, client, charlie):
        client.force_login(charlie)

        assert client.get("/my-reviews/").status_code == 403
