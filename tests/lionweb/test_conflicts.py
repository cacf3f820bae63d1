"""Conflicts: who settles them, what is refused, and that nothing typed is lost."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from lionweb.models import AuditEvent, Decision, DecisionKind, Response, ReviewState, User
from lionweb.selectors.conflicts import conflicts_page
from lionweb.services.conflicts import live_opinions, may_resolve, resolve, version_of
from lionweb.services.errors import Refused
from lionweb.services.reviews import Stale, undo
from tests import review_factories as review


@pytest.fixture
def eve(db):
    return review.annotators("eve")[0]


@pytest.fixture
def iteration(alice):
    return review.waiting_iteration(alice, items=4, reviewers_per_item=2)


@pytest.fixture
def item(iteration, bob, eve):
    found = review.items_of(iteration)[0]
    review.disagree(found, bob, eve, comment="Because.")
    assert found.review_state == ReviewState.CONFLICT
    return found


def settle(item, person, kind="easy", **said):
    said = {"seen": version_of(live_opinions(item))} | said
    return resolve(classification=item, person=person, kind=DecisionKind(kind), **said)


def url(iteration):
    return f"/experiments/{iteration.experiment_id}/iterations/1/conflicts/"


class TestResolving:
    def test_the_resolvers_decision_counts_alone(self, item, alice):
        settle(item, alice, "easy", comment="Simple enough.")

        item.refresh_from_db()
        assert (item.review_state, item.person_kind, item.verdict) == (ReviewState.OVERRIDDEN, "easy", "easy")
        assert (item.person, item.person_reason) == (alice, "Simple enough.")

    def test_it_is_audited_with_what_was_said(self, item, alice):
        settle(item, alice, "easy")

        event = AuditEvent.objects.get(action="conflict.resolve")
        assert event.detail == {"kind": "easy", "opinions": {"bob": "hard", "eve": "easy"}, "reason": ""}
        assert event.experiment_id == item.iteration.experiment_id

    def test_the_opinions_stay(self, item, alice):
        settle(item, alice)

        assert item.decisions.filter(is_resolution=False, undone_at__isnull=True).count() == 2

    def test_a_corrected_answer_of_ones_own(self, item, alice):
        settle(item, alice, "teacher_wrong", corrected="The right answer.")

        item.refresh_from_db()
        assert item.corrected_response.text == "The right answer."
        assert item.corrected_response.author == f"person:{alice.pk}"

    def test_a_corrected_answer_of_one_of_them(self, iteration, alice, bob, eve):
        item = review.items_of(iteration)[1]
        review.say(item, bob, "teacher_wrong", corrected="Bob's answer.")
        review.say(item, eve, "easy")
        bobs = item.decisions.get(person=bob)

        settle(item, alice, "teacher_wrong", corrected_from=bobs.pk)

        item.refresh_from_db()
        assert item.corrected_response.text == "Bob's answer."
        assert Response.objects.filter(author_kind="person").count() == 1

    def test_an_answer_of_a_foreign_item_is_not_adopted(self, iteration, item, alice, bob):
        foreign = review.say(review.items_of(iteration)[2], bob, "teacher_wrong", corrected="Elsewhere.")

        settle(item, alice, "teacher_wrong", corrected_from=foreign.pk)

        item.refresh_from_db()
        assert item.corrected_response is None

    def test_taking_the_resolution_back_brings_the_conflict_back(self, item, alice):
        undo(person=alice, decision=settle(item, alice))

        item.refresh_from_db()
        assert item.review_state == ReviewState.CONFLICT

    @pytest.mark.parametrize("kind", ["flag", "skip"])
    def test_a_flag_or_a_skip_settles_nothing(self, item, alice, kind):
        with pytest.raises(Refused, match="by a decision"):
            settle(item, alice, kind)


class TestRefusals:
    def test_the_disagreeing_do_not_settle_it_themselves_unless_they_are_admins(self, iteration, alice, bob, dora):
        item = review.items_of(iteration)[0]
        review.disagree(item, alice, bob)

        with pytest.raises(Refused, match="one of those who disagree"):
            settle(item, alice)

        assert not may_resolve(bob, live_opinions(item))
        User.objects.filter(pk=alice.pk).update(role="admin")
        settle(item, User.objects.get(pk=alice.pk))
        item.refresh_from_db()
        assert item.review_state == ReviewState.OVERRIDDEN

    def test_a_changed_mind_makes_the_page_stale(self, item, alice, eve):
        seen = version_of(live_opinions(item))
        review.say(item, eve, "unsafe")

        with pytest.raises(Stale, match="changed while you looked"):
            settle(item, alice, seen=seen)

        assert not Decision.objects.filter(is_resolution=True).exists()

    def test_a_conflict_that_has_ended_is_stale_too(self, item, alice, eve):
        review.say(item, eve, "hard")

        with pytest.raises(Stale):
            settle(item, alice)

    def test_a_closed_iteration_stays_as_it_is(self, iteration, item, alice):
        review.close_gate(iteration)

        with pytest.raises(Refused, match="moved on"):
            settle(item, alice)

    def test_a_deleted_instruction(self, item, alice):
        item.instruction.deleted_at = timezone.now()
        item.instruction.save(update_fields=["deleted_at"])

        with pytest.raises(Refused, match="was deleted"):
            settle(item, alice)

    @pytest.mark.django_db(transaction=True)
    def test_of_two_resolvers_at_once_one_wins_and_the_other_is_told(self, item, alice, dora):
        seen, ready, refused = version_of(live_opinions(item)), threading.Barrier(2), []

        def act(person):
            ready.wait(10)
            try:
                settle(item, person, seen=seen)
            except Stale as error:
                refused.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=act, args=(person,)) for person in (alice, dora)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)

        assert len(refused) == 1
        assert Decision.objects.filter(is_resolution=True, undone_at__isnull=True).count() == 1


class TestPage:
    def test_opinions_comments_and_answers_stand_side_by_side(self, client, iteration, alice, bob, eve):
        item = review.items_of(iteration)[0]
        review.say(item, bob, "teacher_wrong", corrected="Bob's answer.", comment="It is wrong.")
        review.say(item, eve, "easy", comment="It is fine.")
        client.force_login(alice)

        page = client.get(url(iteration)).content.decode()

        for text in ("bob", "eve", "Teacher is wrong", "It is wrong.", "It is fine.", "Bob&#x27;s answer.", "Teacher&#x27;s answer", "Student&#x27;s answer"):  # fmt: skip
            assert text in page

    def test_resolving_from_the_page(self, client, item, iteration, alice):
        client.force_login(alice)
        seen = version_of(live_opinions(item))

        answer = client.post(f"/classifications/{item.pk}/resolve/", {"kind": "hard", "seen": seen}, follow=True)

        page = answer.content.decode()
        assert "is resolved." in page
        assert "No conflict" in page
        assert "Take back" in page

    def test_and_taking_it_back(self, client, item, alice):
        client.force_login(alice)
        settle(item, alice)

        client.post(f"/classifications/{item.pk}/reopen/")

        item.refresh_from_db()
        assert item.review_state == ReviewState.CONFLICT

    def test_somebody_elses_resolution_is_not_taken_back(self, client, item, alice, dora):
        settle(item, dora)
        client.force_login(alice)

        assert client.post(f"/classifications/{item.pk}/reopen/").status_code == 404

    def test_a_refusal_keeps_what_was_typed(self, client, item, alice, eve):
        client.force_login(alice)
        seen = version_of(live_opinions(item))
        review.say(item, eve, "unsafe")

        answer = client.post(
            f"/classifications/{item.pk}/resolve/",
            {"kind": "hard", "seen": seen, "comment": "My long comment", "corrected": "My long answer"},
        )

        assert answer.status_code == 409
        page = answer.content.decode()
        assert "changed while you looked" in page
        assert "My long comment" in page
        assert "My long answer" in page

    def test_blind_mode_names_no_reviewer_and_no_verdict_of_the_referee(self, client, alice, bob, eve):
        iteration = review.waiting_iteration(alice, reviewers_per_item=2, blind_review=True)
        review.disagree(review.items_of(iteration)[0], bob, eve)
        client.force_login(alice)

        page = client.get(url(iteration))
        text = page.content.decode()

        assert "Reviewer A" in text
        for word in (">bob<", ">eve<", "Referee"):
            assert word not in text

    def test_a_blind_review_shows_its_conflicts_to_nobody_who_reviews(self, client, alice, bob, eve):
        iteration = review.waiting_iteration(alice, reviewers_per_item=2, blind_review=True)
        review.disagree(review.items_of(iteration)[0], bob, eve)
        client.force_login(bob)

        page = client.get(url(iteration)).content.decode()

        assert "Conflicts wait for a researcher" in page
        assert "Teacher&#x27;s answer" not in page

    def test_nor_what_became_of_those_that_are_resolved(self, client, alice, bob, eve):
        iteration = review.waiting_iteration(alice, reviewers_per_item=2, blind_review=True)
        item = review.items_of(iteration)[0]
        review.disagree(item, bob, eve)
        settle(item, alice)

        assert conflicts_page(iteration, bob, 1).resolved == ()
        assert len(conflicts_page(iteration, alice, 1).resolved) == 1
        review.close_gate(iteration)
        assert len(conflicts_page(iteration, bob, 1).resolved) == 1

    def test_a_deleted_instruction_is_no_conflict_to_be_resolved(self, iteration, item, alice):
        item.instruction.deleted_at = timezone.now()
        item.instruction.save(update_fields=["deleted_at"])

        assert conflicts_page(iteration, alice, 1).conflicts == ()

    def test_ten_a_page(self, alice, bob, eve):
        iteration = review.waiting_iteration(alice, items=12, reviewers_per_item=2)
        for item in review.items_of(iteration):
            review.disagree(item, bob, eve)

        page = conflicts_page(iteration, alice, 2)

        assert (len(page.conflicts), page.page.paginator.num_pages) == (2, 2)

    def test_those_who_disagree_see_no_buttons(self, client, item, iteration, bob):
        client.force_login(bob)

        page = client.get(url(iteration)).content.decode()

        assert "A researcher resolves this." in page
        assert "resolve/" not in page
        assert client.post(f"/classifications/{item.pk}/resolve/", {"kind": "hard"}).status_code == 403

    def test_hostile_texts_are_escaped(self, client, iteration, alice, bob, eve):
        item = review.items_of(iteration)[0]
        review.say(item, bob, "hard", comment="<script>owned</script>")
        review.say(item, eve, "teacher_wrong", corrected="<img src=x onerror=owned>")
        client.force_login(alice)

        page = client.get(url(iteration)).content.decode()

        assert "<script>owned" not in page
        assert "<img src=x" not in page

    @pytest.mark.parametrize(("kind", "status"), [("perhaps", 400), ("", 400), ("skip", 400)])
    def test_unknown_kinds_are_a_bad_request(self, client, item, alice, kind, status):
        client.force_login(alice)

        assert client.post(f"/classifications/{item.pk}/resolve/", {"kind": kind}).status_code == status

    def test_after_closing_it_can_be_read(self, client, item, iteration, alice):
        review.close_gate(iteration)
        client.force_login(alice)

        page = client.get(url(iteration)).content.decode()

        assert "The iteration has moved on" in page
        assert "resolve/" not in page
