"""One decision on many items of the review list: what is decided, what is left out, and taking all of it back."""

from datetime import timedelta

import pytest
from django.utils import timezone

from lionweb.models import AuditEvent, Decision, DecisionBatch, Instruction, MemberPool, Membership, ReviewLock
from lionweb.services import review_batches
from lionweb.services.assignments import assign
from lionweb.services.errors import Refused
from lionweb.services.review_batches import decide_many, undo_batch
from tests import factories as make
from tests import review_factories as review

HTMX = {"HX-Request": "true"}


@pytest.fixture
def iteration(alice):
    return review.waiting_iteration(alice)


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


def decide(iteration, person, kind="hard", rows=None):
    return decide_many(iteration=iteration, person=person, kind=kind, rows=rows or iteration.classifications.all())


def states(iteration):
    return [item.review_state for item in review.items_of(iteration)]


def rows_as_settled(iteration):
    names = ("review_state", "opinions", "opinions_needed", "person_kind", "person_verdict", "person_reason", "verdict")
    return list(iteration.classifications.order_by("pk").values_list("pk", "person", *names))


def url(iteration, end=""):
    return f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/review/{end}"


class TestDeciding:
    def test_every_item_gets_a_decision_of_its_own_and_is_audited(self, iteration, alice):
        made = decide(iteration, alice)

        assert (made.count, made.left_out) == (8, {})
        assert Decision.objects.filter(person=alice, kind="hard", batch=made.kept).count() == 8
        assert states(iteration) == ["confirmed", "overridden"] * 4
        told = AuditEvent.objects.filter(action="verdict.decide")
        assert {one.target_id for one in told} == {str(item.pk) for item in review.items_of(iteration)}
        assert told.first().detail["batch"] == made.kept.pk
        assert AuditEvent.objects.get(action="verdict.decide_many").experiment == iteration.experiment

    def test_it_settles_as_single_decisions_do(self, alice, bob, iteration):
        other = review.waiting_iteration(alice, name="Another", start=0)
        for item in review.items_of(other):
            review.say(item, alice, "easy")
        decide(iteration, alice, "easy")

        assert [row[1:] for row in rows_as_settled(iteration)] == [row[1:] for row in rows_as_settled(other)]

    def test_only_the_chosen_are_decided(self, iteration, alice):
        first, second, *_ = review.items_of(iteration)

        decide(iteration, alice, rows=iteration.classifications.filter(pk__in=[first.pk, second.pk]))

        assert states(iteration)[2:] == ["pending"] * 6

    def test_what_is_settled_decided_deleted_or_open_at_others_is_left_out_and_counted(self, alice, bob):
        iteration = review.waiting_iteration(alice, reviewers_per_item=2)
        mine, settled, deleted, held, expired, half, *_ = review.items_of(iteration)
        review.say(mine, alice, "easy")
        review.disagree(settled, bob, review.annotators("eve")[0])
        Instruction.objects.filter(pk=deleted.instruction_id).update(deleted_at=timezone.now())
        review.say(half, bob, "hard")
        later, earlier = timezone.now() + timedelta(hours=1), timezone.now() - timedelta(hours=1)
        for item, person, until in (
            (half, "eve", later), (held, "bob", later), (held, "eve", later), (expired, "bob", earlier),
        ):  # fmt: skip
            who = type(bob).objects.get(username=person)
            ReviewLock.objects.create(classification=item, person=who, expires_at=until)

        made = decide(iteration, alice)

        assert made.left_out == {
            "decided by you": 1, "settled already": 1, "deleted": 1, "open at other people": 2,
        }  # fmt: skip
        assert made.count == 3
        assert Decision.objects.get(person=alice, classification=mine).kind == "easy"

    def test_a_skip_of_ones_own_is_replaced(self, iteration, alice):
        item = review.items_of(iteration)[0]
        review.say(item, alice, "skip")

        assert decide(iteration, alice).count == 8
        assert Decision.objects.get(kind="skip").undone_at is not None

    def test_one_opinion_of_two_leaves_items_open(self, alice):
        iteration = review.waiting_iteration(alice, reviewers_per_item=2)

        decide(iteration, alice)

        assert states(iteration) == ["pending"] * 8
        assert set(iteration.classifications.values_list("opinions", flat=True)) == {1}

    def test_unsafe_ones_leave_the_later_pools_and_come_back(self, iteration, alice):
        instructions = [item.instruction for item in review.items_of(iteration)]
        make.add_members(iteration.experiment, MemberPool.CACHE, instructions)

        made = decide(iteration, alice, "unsafe")
        assert set(Membership.objects.values_list("until", flat=True)) == {iteration.number}
        undo_batch(batch=made.kept, person=alice)

        assert set(Membership.objects.values_list("until", flat=True)) == {None}

    def test_items_of_another_iteration_are_not_touched(self, iteration, alice):
        other = review.waiting_iteration(alice, name="Another", start=20)

        made = decide(iteration, alice, rows=other.classifications.all())

        assert (made.kept, made.count) == (None, 0)
        assert not Decision.objects.exists()

    @pytest.mark.parametrize("kind", ["skip", "flag"])
    def test_what_is_no_opinion_is_refused(self, iteration, alice, kind):
        with pytest.raises(Refused, match="Only an opinion"):
            decide(iteration, alice, kind)

    def test_more_than_the_most_are_refused(self, iteration, alice, monkeypatch):
        monkeypatch.setattr(review_batches, "MOST", 7)
        with pytest.raises(Refused, match="More than 7 items"):
            decide(iteration, alice)

    def test_a_closed_gate_is_refused(self, iteration, alice):
        review.close_gate(iteration)
        with pytest.raises(Refused, match="moved on"):
            decide(iteration, alice)

    def test_who_is_not_assigned_is_refused(self, iteration, alice, bob):
        assign(experiment=iteration.experiment, user=review.annotators("eve")[0], actor=alice)
        with pytest.raises(Refused, match="Other people are assigned"):
            decide(iteration, bob)

    def test_in_blind_mode_answers_are_not_compared_in_bulk(self, alice):
        iteration = review.waiting_iteration(alice, blind_review=True)

        with pytest.raises(Refused, match="one pair at a time"):
            decide(iteration, alice, "easy")
        assert decide(iteration, alice, "duplicate").count == 8

    def test_the_number_of_queries_does_not_grow(self, iteration, alice, django_assert_max_num_queries):
        with django_assert_max_num_queries(26):
            decide(iteration, alice, "unsafe")


class TestTakingBack:
    def test_all_is_as_it_was(self, iteration, alice):
        before = rows_as_settled(iteration)
        made = decide(iteration, alice)

        assert undo_batch(batch=made.kept, person=alice) == 8

        assert rows_as_settled(iteration) == before
        assert AuditEvent.objects.filter(action="verdict.take_back").count() == 8

    def test_what_was_decided_anew_since_stands(self, iteration, alice):
        made = decide(iteration, alice)
        item = review.items_of(iteration)[0]
        review.say(item, alice, "easy")

        assert undo_batch(batch=made.kept, person=alice) == 7
        item.refresh_from_db()
        assert item.person_kind == "easy"

    def test_twice_and_of_others_is_refused(self, iteration, alice, bob):
        made = decide(iteration, alice)
        with pytest.raises(Refused, match="nothing of these"):
            undo_batch(batch=made.kept, person=bob)
        undo_batch(batch=made.kept, person=alice)
        with pytest.raises(Refused, match="nothing of these"):
            undo_batch(batch=made.kept, person=alice)

    def test_not_once_the_gate_is_closed(self, iteration, alice):
        made = decide(iteration, alice)
        review.close_gate(iteration)
        with pytest.raises(Refused, match="moved on"):
            undo_batch(batch=made.kept, person=alice)


class TestPage:
    def test_the_list_offers_it_and_the_single_view_does_not(self, researcher, iteration):
        page = researcher.get(url(iteration), {"view": "list"}).content.decode()

        assert page.count('class="review-pick"') == 8
        assert "All 8 that match the filter" in page
        assert "review-pick" not in researcher.get(url(iteration)).content.decode()

    def test_annotators_neither_see_nor_may_do_it(self, client, bob, iteration):
        client.force_login(bob)

        assert "review-pick" not in client.get(url(iteration), {"view": "list"}).content.decode()
        assert client.post(url(iteration, "many/"), {"kind": "hard", "all": "1"}).status_code == 403
        assert not Decision.objects.exists()

    def test_chosen_ones_are_decided_and_taken_back_by_the_button(self, researcher, iteration):
        chosen = [item.pk for item in review.items_of(iteration)[:3]]

        answer = researcher.post(
            url(iteration, "many/"), {"kind": "bad_instruction", "chosen": chosen, "query": "view=list"}, follow=True
        )

        page = answer.content.decode()
        assert "3 items are decided: bad instruction." in page
        batch = DecisionBatch.objects.get()
        assert f"/reviews/batches/{batch.pk}/undo/" in page
        page = researcher.post(f"/reviews/batches/{batch.pk}/undo/", {"query": "view=list"}, follow=True)
        assert "3 decisions are taken back." in page.content.decode()
        assert states(iteration) == ["pending"] * 8

    def test_all_that_match_the_filter_are_decided_and_the_rest_is_told(self, researcher, iteration, alice, bob):
        rows = review.items_of(iteration)
        Instruction.objects.update(category="")
        Instruction.objects.filter(pk__in=[row.instruction_id for row in rows[:3]]).update(category="Rivers")
        ReviewLock.objects.create(classification=rows[0], person=bob, expires_at=timezone.now() + timedelta(hours=1))

        page = researcher.post(
            url(iteration, "many/"), {"kind": "hard", "all": "1", "query": "view=list&category=Rivers"}, follow=True
        ).content.decode()

        assert "2 items are decided: hard. Left out: 1 open at other people." in page
        assert Decision.objects.count() == 2

    @pytest.mark.parametrize("chosen", [[], ["x"], ["9" * 30], ["999999"]])
    def test_nothing_chosen_decides_nothing(self, researcher, iteration, chosen):
        page = researcher.post(url(iteration, "many/"), {"kind": "hard", "chosen": chosen}, follow=True)

        assert "No item was selected." in page.content.decode()
        assert not DecisionBatch.objects.exists()

    def test_an_unknown_kind_is_refused(self, researcher, iteration):
        assert researcher.post(url(iteration, "many/"), {"kind": "skip", "all": "1"}).status_code == 400

    def test_the_key_for_undo_takes_the_whole_batch_back(self, researcher, iteration, alice):
        decide(iteration, alice)

        answer = researcher.post(url(iteration, "undo/"), {"query": "view=list"}, headers=HTMX)

        assert answer["HX-Redirect"] == url(iteration) + "?view=list"
        assert states(iteration) == ["pending"] * 8

    def test_in_blind_mode_only_kinds_that_compare_nothing_are_offered(self, researcher, alice):
        iteration = review.waiting_iteration(alice, blind_review=True)

        page = researcher.get(url(iteration), {"view": "list"}).content.decode()

        assert '<option value="duplicate">' in page
        assert '<option value="hard">' not in page
