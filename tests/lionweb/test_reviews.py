"""Deciding on items of the review queue: order, locks, replacing, taking back, and what is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from distill.settings import GateSettings
from lionweb.models import (
    AuditEvent,
    AuthorKind,
    Classification,
    Decision,
    Experiment,
    Instruction,
    Response,
    ReviewLock,
    StageKind,
    StageStatus,
)
from lionweb.review_filters import ReviewFilters
from lionweb.selectors.review_queue import closing, own_progress, skipped_by
from lionweb.services import gates, reviews
from lionweb.services.advance import open_decisions
from lionweb.services.errors import Refused
from lionweb.services.review_locks import HeldByOthers, refresh, release, take, take_next
from tests import factories as make

DAY = timedelta(days=1)


@pytest.fixture
def iteration(alice):
    """Waits at the review gate with 24 items in the order of their ids."""
    return waiting(alice)


def waiting(alice, **gates):
    settings = replace(make.SMALL, gates=GateSettings(review="require", **gates))
    iteration = make.finish_iteration(make.make_experiment(alice, settings=settings))
    iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.WAITING)
    needed = settings.gates.reviewers_per_item
    make.queue_up(iteration.classifications.filter(pool="cache"), opinions_needed=needed)
    return iteration


def items(iteration):
    return list(iteration.classifications.filter(for_review=True).order_by("queue_rank", "pk"))


def close(iteration):
    iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.SUCCEEDED)


def expire(**where):
    assert ReviewLock.objects.filter(**where).update(expires_at=timezone.now() - timedelta(seconds=1))


class TestTaking:
    def test_the_lowest_rank_comes_first_and_each_person_gets_another(self, iteration, alice, bob):
        first, second, *_ = items(iteration)

        assert take_next(iteration=iteration, person=bob) == first
        assert take_next(iteration=iteration, person=alice) == second

    def test_the_item_one_has_open_is_given_again(self, iteration, bob):
        assert take_next(iteration=iteration, person=bob) == take_next(iteration=iteration, person=bob)

    def test_going_on_from_an_item_leaves_it_to_others(self, iteration, alice, bob):
        first, second, *_ = items(iteration)
        take_next(iteration=iteration, person=bob)

        assert take_next(iteration=iteration, person=bob, after=first) == second
        assert take_next(iteration=iteration, person=alice) == first

    def test_what_one_decided_flagged_or_skipped_is_not_given_again(self, iteration, bob):
        first, second, third, fourth, *_ = items(iteration)
        for item, kind in ((first, "skip"), (second, "flag"), (third, "hard")):
            reviews.decide(classification=item, person=bob, kind=kind)

        assert take_next(iteration=iteration, person=bob) == fourth

    def test_a_skipped_and_a_flagged_item_are_given_to_others(self, iteration, alice, bob):
        first, second, *_ = items(iteration)
        reviews.decide(classification=first, person=bob, kind="skip")
        reviews.decide(classification=second, person=bob, kind="flag")

        assert take_next(iteration=iteration, person=alice) == first
        assert take_next(iteration=iteration, person=alice, after=first) == second

    def test_two_may_look_at_an_item_that_needs_two_and_no_third(self, alice, bob, dora):
        iteration = waiting(alice, reviewers_per_item=2)
        first, second, *_ = items(iteration)

        given = [take_next(iteration=iteration, person=person) for person in (alice, bob, dora)]

        assert given == [first, first, second]

    def test_of_an_item_with_one_opinion_of_two_only_one_more_is_asked(self, alice, bob, dora):
        iteration = waiting(alice, reviewers_per_item=2)
        first, second, *_ = items(iteration)
        reviews.decide(classification=first, person=alice, kind="hard")

        assert take_next(iteration=iteration, person=bob) == first
        assert take_next(iteration=iteration, person=dora) == second

    def test_an_expired_lock_is_free_and_goes(self, iteration, alice, bob):
        first = take_next(iteration=iteration, person=bob)
        expire(person=bob)

        assert take_next(iteration=iteration, person=alice) == first
        assert not ReviewLock.objects.filter(person=bob).exists()

    def test_released_items_are_free(self, iteration, alice, bob):
        first = take_next(iteration=iteration, person=bob)
        release(classification=first, person=bob)

        assert take_next(iteration=iteration, person=alice) == first

    def test_the_time_comes_from_the_settings(self, iteration, bob, settings):
        settings.REVIEW_LOCK_SECONDS = 60

        lock = take(classification=items(iteration)[0], person=bob)

        assert timedelta(seconds=55) < lock.expires_at - timezone.now() <= timedelta(seconds=60)

    def test_taking_what_another_holds_says_who_and_until_when(self, iteration, alice, bob):
        first = take_next(iteration=iteration, person=bob)
        until = timezone.localtime(ReviewLock.objects.get().expires_at)

        with pytest.raises(HeldByOthers, match=rf"bob \(until {until:%H:%M}\) has this item open"):
            take(classification=first, person=alice)

    def test_a_sign_of_life_keeps_the_item(self, iteration, bob):
        first = take_next(iteration=iteration, person=bob)
        expire(person=bob)

        assert refresh(classification=first, person=bob).expires_at > timezone.now()

    def test_a_sign_of_life_that_came_too_late_is_refused(self, iteration, alice, bob):
        first = take_next(iteration=iteration, person=bob)
        expire(person=bob)
        take_next(iteration=iteration, person=alice)

        with pytest.raises(HeldByOthers, match="alice"):
            refresh(classification=first, person=bob)

    def test_a_deleted_instruction_is_not_given(self, iteration, bob):
        first, second, *_ = items(iteration)
        Instruction.objects.filter(pk=first.instruction_id).update(deleted_at=timezone.now())

        assert take_next(iteration=iteration, person=bob) == second

    def test_filters_hold(self, iteration, bob):
        last = items(iteration)[-1]
        Classification.objects.filter(pk=last.pk).update(flipped=True)

        assert take_next(iteration=iteration, person=bob, filters=ReviewFilters(only="flipped")) == last
        unscored = take_next(iteration=iteration, person=bob, filters=ReviewFilters(verdict="unscored"))
        assert unscored.referee_verdict == "unscored"
        assert take_next(iteration=iteration, person=bob, filters=ReviewFilters(category="No such")) is None

    def test_at_the_end_there_is_none(self, iteration, bob):
        for item in items(iteration):
            reviews.decide(classification=item, person=bob, kind="easy")

        assert take_next(iteration=iteration, person=bob) is None


class TestDeciding:
    def test_it_is_kept_with_comment_time_and_audit(self, iteration, bob):
        item = take_next(iteration=iteration, person=bob)

        reviews.decide(classification=item, person=bob, kind="easy", comment=" Fine. ", seconds=4.5)

        made = Decision.objects.get()
        assert (made.kind, made.comment, made.seconds, made.person) == ("easy", "Fine.", 4.5, bob)
        event = AuditEvent.objects.get(target_type="classification")
        assert (event.action, event.actor, event.target_id) == ("verdict.decide", bob, str(item.pk))
        assert (event.detail["after"], event.detail["reason"]) == ("easy", "Fine.")
        assert not ReviewLock.objects.exists()
        item.refresh_from_db()
        assert item.review_state in ("overridden", "confirmed")

    def test_a_second_decision_replaces_the_first(self, iteration, bob):
        item = items(iteration)[0]
        reviews.decide(classification=item, person=bob, kind="easy")

        reviews.decide(classification=item, person=bob, kind="hard")

        item.refresh_from_db()
        assert (item.verdict, item.opinions) == ("hard", 1)
        assert Decision.objects.filter(undone_at__isnull=True).get().kind == "hard"

    def test_another_persons_other_opinion_is_a_conflict_and_loses_nothing(self, iteration, alice, bob):
        item = items(iteration)[0]
        reviews.decide(classification=item, person=bob, kind="easy")

        reviews.decide(classification=item, person=alice, kind="hard")

        item.refresh_from_db()
        assert (item.review_state, item.person_verdict) == ("conflict", None)
        assert Decision.objects.filter(undone_at__isnull=True).count() == 2

    def test_a_corrected_answer_becomes_the_persons_response(self, iteration, bob):
        item = items(iteration)[0]

        reviews.decide(classification=item, person=bob, kind="teacher_wrong", corrected="It is 42.")

        item.refresh_from_db()
        answer = item.corrected_response
        assert (answer.author_kind, answer.author, answer.text) == (AuthorKind.PERSON, f"person:{bob.pk}", "It is 42.")
        assert (answer.instruction_id, item.verdict) == (item.instruction_id, "unscored")

    def test_the_same_answer_typed_twice_is_one_response(self, iteration, bob):
        item = items(iteration)[0]
        for kind in ("teacher_wrong", "hard"):
            reviews.decide(classification=item, person=bob, kind=kind, corrected="It is 42.")

        assert Response.objects.filter(author_kind=AuthorKind.PERSON).count() == 1

    def test_the_teachers_own_words_are_no_correction(self, iteration, bob):
        item = items(iteration)[0]

        reviews.decide(classification=item, person=bob, kind="hard", corrected=item.teacher_response.text)

        assert not Response.objects.filter(author_kind=AuthorKind.PERSON).exists()

    def test_broken_text_is_mended(self, iteration, bob):
        item = items(iteration)[0]

        reviews.decide(
            classification=item, person=bob, kind="hard", comment="a\x00b\ud800c", corrected="\udfff\x00 \u0627\u0628"
        )

        made = Decision.objects.get()
        assert made.comment == "a\ufffdb?c"
        assert made.corrected_response.text == "?\ufffd \u0627\u0628"

    @pytest.mark.parametrize("field", ["comment", "corrected"])
    def test_a_text_that_is_too_long_is_refused_and_not_cut(self, iteration, bob, field):
        with pytest.raises(Refused, match="characters; at most"):
            reviews.decide(classification=items(iteration)[0], person=bob, kind="hard", **{field: "x" * 200_001})

        assert not Decision.objects.exists()

    @pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
    def test_impossible_times_are_left_out(self, iteration, bob, seconds):
        reviews.decide(classification=items(iteration)[0], person=bob, kind="hard", seconds=seconds)

        assert Decision.objects.get().seconds is None

    def test_one_may_not_skip_what_one_decided(self, iteration, bob):
        item = items(iteration)[0]
        reviews.decide(classification=item, person=bob, kind="easy")

        with pytest.raises(Refused, match="decided on this item already"):
            reviews.decide(classification=item, person=bob, kind="skip")

    def test_a_comment_is_kept_with_a_flag_and_a_skip(self, iteration, bob):
        first, second, *_ = items(iteration)
        reviews.decide(classification=first, person=bob, kind="flag", comment="Which unit?")
        reviews.decide(classification=second, person=bob, kind="skip", comment="No Latin.")

        assert list(Decision.objects.order_by("pk").values_list("kind", "comment")) == [
            ("flag", "Which unit?"),
            ("skip", "No Latin."),
        ]


class TestRefusing:
    def test_a_closed_iteration(self, iteration, bob):
        item = items(iteration)[0]
        close(iteration)

        with pytest.raises(Refused, match="moved on"):
            reviews.decide(classification=item, person=bob, kind="hard")

    def test_a_deleted_instruction(self, iteration, alice, bob):
        item = take_next(iteration=iteration, person=bob)
        Instruction.objects.filter(pk=item.instruction_id).update(deleted_at=timezone.now(), deleted_by=alice)

        with pytest.raises(Refused, match="deleted by alice meanwhile"):
            reviews.decide(classification=item, person=bob, kind="hard")

    def test_an_item_outside_the_queue(self, iteration, bob):
        item = items(iteration)[0]
        Classification.objects.filter(pk=item.pk).update(for_review=False, review_state="")

        with pytest.raises(Refused, match="This item is not in the queue."):
            reviews.decide(classification=item, person=bob, kind="hard")

        assert not Decision.objects.exists()

    def test_an_item_that_is_gone(self, iteration, bob):
        item = items(iteration)[0]
        Classification.objects.filter(pk=item.pk).delete()

        with pytest.raises(Refused, match="no longer there"):
            reviews.decide(classification=item, person=bob, kind="hard")

    def test_a_lock_that_was_lost_to_another(self, iteration, alice, bob):
        item = take_next(iteration=iteration, person=bob)
        expire(person=bob)
        take_next(iteration=iteration, person=alice)

        with pytest.raises(HeldByOthers, match="alice"):
            reviews.decide(classification=item, person=bob, kind="hard")

    def test_a_lock_that_ran_out_and_nobody_took_is_no_hindrance(self, iteration, bob):
        item = take_next(iteration=iteration, person=bob)
        expire(person=bob)

        reviews.decide(classification=item, person=bob, kind="hard")

        assert Decision.objects.exists()

    def test_a_stale_form_says_what_changed(self, iteration, alice, bob):
        item = items(iteration)[0]
        seen = reviews.version(item, None)
        reviews.decide(classification=item, person=alice, kind="easy")

        with pytest.raises(reviews.Stale, match="alice decided it: easy"):
            reviews.decide(classification=item, person=bob, kind="hard", seen=seen)

        assert Decision.objects.count() == 1

    def test_in_blind_mode_it_does_not_say_what_was_decided(self, alice, bob):
        item = items(waiting(alice, blind_review=True))[0]
        seen = reviews.version(item, None)
        reviews.decide(classification=item, person=alice, kind="easy")

        with pytest.raises(reviews.Stale) as refused:
            reviews.decide(classification=item, person=bob, kind="hard", seen=seen)

        assert "while you looked: alice decided it." in str(refused.value)

    def test_in_blind_mode_ones_own_other_window_does_not_either(self, alice, bob):
        item = items(waiting(alice, blind_review=True, reviewers_per_item=2))[0]
        seen = reviews.version(item, None)
        reviews.decide(classification=item, person=bob, kind="easy", seen=seen)

        with pytest.raises(reviews.Stale, match="you decided it in another window\\."):
            reviews.decide(classification=item, person=bob, kind="hard", seen=seen)

    def test_a_second_window_of_ones_own_is_stale_too(self, alice, bob):
        iteration = waiting(alice, reviewers_per_item=2)
        item = items(iteration)[0]
        seen = reviews.version(item, None)
        reviews.decide(classification=item, person=bob, kind="easy", seen=seen)

        with pytest.raises(reviews.Stale, match="you decided it in another window: easy"):
            reviews.decide(classification=item, person=bob, kind="hard", seen=seen)

    def test_opinions_given_at_the_same_time_do_not_make_each_other_stale(self, alice, bob):
        iteration = waiting(alice, reviewers_per_item=2)
        item = items(iteration)[0]
        seen = reviews.version(item, None)

        reviews.decide(classification=item, person=alice, kind="easy", seen=seen)
        reviews.decide(classification=item, person=bob, kind="easy", seen=seen)

        item.refresh_from_db()
        assert item.opinions == 2


class TestTakingBack:
    def test_the_last_one_goes_and_the_item_comes_again(self, iteration, bob):
        first, second, *_ = items(iteration)
        for item in (first, second):
            reviews.decide(classification=item, person=bob, kind="easy")

        assert reviews.undo(person=bob, iteration=iteration) == second

        second.refresh_from_db()
        assert (second.review_state, second.person_verdict) == ("pending", None)
        assert take_next(iteration=iteration, person=bob) == second
        told = AuditEvent.objects.filter(action="verdict.take_back").get()
        assert (told.detail["before"], told.detail["after"]) == ("easy", None)

    def test_again_and_again(self, iteration, bob):
        first, second, *_ = items(iteration)
        for item in (first, second):
            reviews.decide(classification=item, person=bob, kind="easy")

        assert [reviews.undo(person=bob, iteration=iteration) for _ in range(2)] == [second, first]
        with pytest.raises(Refused, match="no decision of yours"):
            reviews.undo(person=bob, iteration=iteration)

    def test_a_certain_one(self, iteration, bob):
        first, second, *_ = items(iteration)
        made = reviews.decide(classification=first, person=bob, kind="easy")
        reviews.decide(classification=second, person=bob, kind="easy")

        assert reviews.undo(person=bob, decision=made) == first

    def test_not_that_of_another(self, iteration, alice, bob):
        made = reviews.decide(classification=items(iteration)[0], person=bob, kind="easy")

        with pytest.raises(Refused, match="no decision of yours"):
            reviews.undo(person=alice, decision=made)

    def test_not_once_closed(self, iteration, bob):
        reviews.decide(classification=items(iteration)[0], person=bob, kind="easy")
        close(iteration)

        with pytest.raises(Refused, match="moved on"):
            reviews.undo(person=bob, iteration=iteration)

    def test_not_that_in_another_iteration(self, iteration, bob):
        reviews.decide(classification=items(iteration)[0], person=bob, kind="easy")
        other = make.make_iteration(Experiment.objects.get(), 2)

        with pytest.raises(Refused, match="no decision of yours"):
            reviews.undo(person=bob, iteration=other)


class TestDeletedInstructions:
    def test_they_wait_for_nobody_and_do_not_hold_the_gate_up(self, iteration, alice, bob):
        stage = iteration.stages.get(kind=StageKind.REVIEW)
        gone, *rest = items(iteration)
        reviews.decide(classification=gone, person=bob, kind="skip")
        Instruction.objects.filter(pk=gone.instruction_id).update(deleted_at=timezone.now(), deleted_by=alice)
        for item in rest[1:]:
            reviews.decide(classification=item, person=bob, kind="easy")
        assert (open_decisions(stage), closing(stage).counts, own_progress(iteration, bob).left) == (
            1,
            {"Pending": 1},
            1,
        )
        with pytest.raises(Refused, match="1 item is still open"):
            gates.close_review(stage=stage, actor=alice)
        reviews.decide(classification=rest[0], person=bob, kind="easy")

        assert (open_decisions(stage), closing(stage).open, closing(stage).decided) == (0, 0, 23)
        assert (own_progress(iteration, bob).left, own_progress(iteration, alice).left) == (0, 0)
        assert skipped_by(iteration, bob) == 0
        gates.close_review(stage=stage, actor=alice)

        gone.refresh_from_db()
        assert gone.review_state == "closed"
