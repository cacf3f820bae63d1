"""Decisions at the approval gate: what they write, that each can be undone, and that nothing is lost in a race."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from distill.records import Instruction as Text
from lionweb import pools_of
from lionweb.models import (
    Approval,
    ApprovalAction,
    AuditEvent,
    Candidate,
    Instruction,
    LeakHit,
    Membership,
    StageKind,
    StageStatus,
)
from lionweb.neighbours import neighbourhood
from lionweb.selectors.approval_state import ApprovalState, filtered
from lionweb.selectors.approvals import asked
from lionweb.services import approvals, new_texts
from lionweb.services.errors import Refused
from tests.lionweb.approval_cases import candidates, forget_caches, gate_of, members, state, waiting_iteration
from tests.lionweb.leak_cases import know

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_caches():
    forget_caches()


@pytest.fixture
def iteration(alice):
    return waiting_iteration(alice)


@pytest.fixture
def gate(iteration):
    return gate_of(iteration)


@pytest.fixture
def one(iteration):
    return candidates(iteration).first()


def reject(gate, candidate, actor, reason="off_topic", **more):
    return approvals.decide(stage=gate, candidate=candidate, actor=actor, approve=False, reason=reason, **more)


def approve(gate, candidate, actor, **more):
    return approvals.decide(stage=gate, candidate=candidate, actor=actor, approve=True, **more)


class TestOneByOne:
    def test_a_decision_holds_for_both_pools_and_is_audited(self, gate, one, bob):
        reject(gate, one, bob, reason="other", text="Too vague")

        rows = Membership.objects.filter(candidate=one)
        assert {(row.approval, row.rejected_reason, row.rejected_text, row.decided_by) for row in rows} == {
            ("rejected", "other", "Too vague", bob)
        }
        assert AuditEvent.objects.get(action="approval.rejected").detail["reason"] == "other"

    @pytest.mark.parametrize("reason", ["", "because", "OTHER"])
    def test_a_rejection_needs_one_of_the_reasons(self, gate, one, bob, reason):
        with pytest.raises(Refused, match="needs a reason"):
            reject(gate, one, bob, reason=reason)
        assert state(one)[0] == Approval.PENDING

    def test_a_later_approval_clears_the_reason(self, gate, one, bob):
        reject(gate, one, bob)
        approve(gate, one, bob)

        assert state(one)[:2] == (Approval.APPROVED, "")

    def test_a_dropped_candidate_cannot_be_approved(self, gate, iteration, bob):
        with pytest.raises(Refused, match="not accepted"):
            approve(gate, iteration.candidates.exclude(rejected="").first(), bob)

    def test_a_stale_form_says_who_was_quicker_and_changes_nothing(self, gate, one, alice, bob):
        reject(gate, one, bob, seen=0)

        with pytest.raises(approvals.Stale, match="bob changed this one; it is rejected"):
            approve(gate, one, alice, seen=0)

        assert state(one)[0] == Approval.REJECTED

    def test_after_looking_again_it_can_be_changed(self, gate, one, alice, bob):
        first = reject(gate, one, bob, seen=0)

        approve(gate, one, alice, seen=first.pk)

        assert state(one)[0] == Approval.APPROVED

    @pytest.mark.parametrize("status", [StageStatus.SUCCEEDED, StageStatus.CANCELLED])
    def test_a_closed_gate_freezes_everything(self, gate, one, iteration, bob, status):
        approve(gate, one, bob)
        iteration.stages.filter(kind=StageKind.APPROVE).update(status=status)
        other, dropped = candidates(iteration).last(), iteration.candidates.exclude(rejected="").first()

        for act in (
            lambda: reject(gate, other, bob),
            lambda: approvals.undo(stage=gate, actor=bob),
            lambda: approvals.decide_many(stage=gate, rows=asked(gate), actor=bob, approve=True, rule={}),
            lambda: new_texts.edit(stage=gate, candidate=other, actor=bob, text="Quite another thing"),
            lambda: new_texts.keep_anyway(stage=gate, candidate=dropped, actor=bob),
        ):
            with pytest.raises(Refused, match="moved on"):
                act()
        assert state(one)[0] == Approval.APPROVED


class TestMany:
    def test_a_rule_is_one_statement_and_passes_over_what_was_decided(
        self, gate, iteration, bob, django_assert_max_num_queries
    ):
        first = candidates(iteration).first()
        reject(gate, first, bob)
        rows = filtered(asked(gate), ApprovalState(high=0.4))

        with django_assert_max_num_queries(9):
            action = approvals.decide_many(
                stage=gate, rows=rows, actor=bob, approve=True, rule=ApprovalState(high=0.4).rule
            )

        low = [row for row in members(iteration) if row.similarity <= 0.4]
        assert action.count == len(low) - 1
        assert {row.approval for row in low if row.candidate_id != first.pk} == {Approval.APPROVED}
        assert state(first)[0] == Approval.REJECTED
        assert AuditEvent.objects.get(action="approval.many.approve").detail["rule"] == {"show": "open", "high": 0.4}

    @pytest.mark.parametrize(
        ("rule", "count"),
        [
            ({"kind": "hard"}, 8),
            ({"low": 0.5}, 6),
            ({"low": 0.3, "high": 0.35}, 2),
            ({"shortest": 10_000}, 0),
            ({"leak": "yes"}, 1),
            ({"leak": "no"}, 15),
            ({"q": "point 500"}, 1),
            ({"kind": "easy", "leak": "no", "high": 0.5}, 3),
        ],
    )
    def test_rules(self, gate, iteration, rule, count):
        know([members(iteration)[2].instruction.text])
        LeakHit.objects.all().delete()
        _leak(members(iteration)[2].instruction)

        assert filtered(asked(gate), ApprovalState(**rule)).count() == count

    def test_many_are_rejected_with_a_reason(self, gate, iteration, bob):
        approvals.decide_many(stage=gate, rows=asked(gate), actor=bob, approve=False, rule={}, reason="unsafe")

        assert {state(one)[:2] for one in candidates(iteration)} == {(Approval.REJECTED, "unsafe")}

    def test_where_leaks_are_blocked_those_that_overlap_are_passed_over(self, alice, bob):
        iteration = waiting_iteration(alice, leak_policy="block")
        leaked = members(iteration)[0]
        know([leaked.instruction.text])
        _leak(leaked.instruction)

        action = approvals.decide_many(
            stage=gate_of(iteration), rows=asked(gate_of(iteration)), actor=bob, approve=True, rule={}
        )

        assert action.count == 15
        assert state(leaked.candidate)[0] == Approval.PENDING
        with pytest.raises(Refused, match="overlaps with an evaluation set"):
            approve(gate_of(iteration), leaked.candidate, bob)


def _leak(instruction):
    from lionweb.models import EvaluationItem

    return LeakHit.objects.create(instruction=instruction, item=EvaluationItem.objects.first(), kind="exact", score=1)


class TestUndo:
    def test_the_last_step_is_taken_back_then_the_one_before(self, gate, iteration, bob):
        first, second = candidates(iteration)[:2]
        approve(gate, first, bob)
        reject(gate, second, bob)

        assert approvals.undo(stage=gate, actor=bob).candidate == second
        assert (state(first)[0], state(second)[:2]) == (Approval.APPROVED, (Approval.PENDING, ""))
        assert approvals.undo(stage=gate, actor=bob).candidate == first

        assert state(first)[0] == Approval.PENDING
        with pytest.raises(Refused, match="nothing to undo"):
            approvals.undo(stage=gate, actor=bob)
        assert AuditEvent.objects.filter(action="approval.undo").count() == 2

    def test_a_rule_is_taken_back_in_one_step_and_only_what_still_stands(self, gate, iteration, alice, bob):
        first, second, *_ = candidates(iteration)
        new_texts.edit(stage=gate, candidate=second, actor=bob, text="An edited text that waits")
        edited = ApprovalAction.objects.get().pk
        approvals.decide_many(stage=gate, rows=asked(gate), actor=bob, approve=True, rule={})
        reject(gate, first, alice)

        approvals.undo(stage=gate, actor=bob)

        assert state(first)[0] == Approval.REJECTED
        assert members(iteration).filter(approval=Approval.PENDING, decided_at=None).count() == 15
        assert set(Membership.objects.filter(candidate=second).values_list("action", flat=True)) == {edited}

    def test_what_someone_else_built_on_is_passed_over(self, gate, one, alice, bob):
        approve(gate, one, bob)
        reject(gate, one, alice)

        with pytest.raises(Refused, match="nothing to undo"):
            approvals.undo(stage=gate, actor=bob)
        assert state(one)[0] == Approval.REJECTED

    def test_undoing_a_change_of_mind_restores_the_decision_before(self, gate, one, bob):
        reject(gate, one, bob, reason="unsafe", text="weapons")
        approve(gate, one, bob)

        approvals.undo(stage=gate, actor=bob)

        assert state(one)[:2] == (Approval.REJECTED, "unsafe")
        assert Membership.objects.filter(candidate=one, rejected_text="weapons", decided_by=bob).count() == 2


class TestEditing:
    def test_the_pools_get_a_new_instruction_and_history_stays(self, gate, iteration, one, bob):
        generated, parent = one.instruction, members(iteration).get(candidate=one).parent

        found = new_texts.edit(
            stage=gate, candidate=one, actor=bob, text=" Describe a lighthouse.\r\n", given="By night"
        )
        approve(gate, one, bob)

        rows = Membership.objects.filter(candidate=one).select_related("instruction")
        new = rows[0].instruction
        assert {(row.instruction_id, row.parent_id, row.source) for row in rows} == {
            (new.pk, parent.pk, rows[0].source)
        }
        assert (new.text, new.input, new.edited_from, new.edited_by) == (
            "Describe a lighthouse.", "By night", generated, bob,
        )  # fmt: skip
        one.refresh_from_db()
        assert one.instruction == generated
        assert str(new.pk) in one.neighbours
        assert rows[0].similarity == found.similarity
        assert new in pools_of.train_pool(iteration.experiment, 2)
        assert generated not in pools_of.train_pool(iteration.experiment, 2)

    def test_it_is_compared_with_the_pools_at_once(self, gate, iteration, one, bob):
        known = pools_of.cache_pool(iteration.experiment, 1).first()

        found = new_texts.edit(stage=gate, candidate=one, actor=bob, text=f"{known.text} please", given=known.input)

        assert (found.neighbours[0].id, found.neighbours[0].pool) == (known.pk, "cache")
        assert found.similarity > 0.7
        assert state(one)[0] == Approval.PENDING

    def test_other_new_ones_are_neighbours_too_but_not_itself_nor_rejected_ones(self, gate, iteration, bob):
        first, second, third = candidates(iteration)[:3]
        reject(gate, third, bob)

        found = new_texts.edit(stage=gate, candidate=first, actor=bob, text=f"{second.instruction.text} now")

        assert (found.neighbours[0].id, found.neighbours[0].pool) == (second.instruction_id, "new")
        assert {first.instruction_id, third.instruction_id}.isdisjoint({one.id for one in found.neighbours})

    def test_what_is_deleted_or_taken_out_is_no_neighbour(self, gate, iteration, one, bob):
        first, second, third = pools_of.cache_pool(iteration.experiment, 1)[:3]
        Instruction.objects.filter(pk=first.pk).update(deleted_at=timezone.now())
        Membership.objects.filter(instruction=second).update(until=0)
        known = neighbourhood(iteration)
        nearest = known.nearest([(None, Text(near.text, near.input).prompt) for near in (first, second, third)])
        Instruction.objects.filter(pk=third.pk).update(deleted_at=timezone.now())

        later = known.nearest([(None, Text(third.text, third.input).prompt)])

        assert nearest[2][0].id == third.pk
        assert {first.pk, second.pk}.isdisjoint(near.id for found in nearest for near in found)
        assert third.pk not in {near.id for near in later[0]}

    def test_an_overlap_with_a_benchmark_is_marked_at_once(self, gate, one, bob):
        know(["Name the seven hills on which the city of Rome was built, from north to south"])

        found = new_texts.edit(
            stage=gate,
            candidate=one,
            actor=bob,
            text="Name the seven hills on which the city of Rome was built, please",
        )

        assert [leak.kind for leak in found.leaks] == ["near"]
        assert LeakHit.objects.get().instruction_id == state(one)[2]

    def test_where_leaks_are_blocked_it_is_refused(self, alice, bob):
        iteration = waiting_iteration(alice, leak_policy="block")
        know(["Name the seven hills of Rome"])
        one = candidates(iteration).first()

        with pytest.raises(Refused, match="blocks those"):
            new_texts.edit(stage=gate_of(iteration), candidate=one, actor=bob, text="Name the seven hills of Rome")
        assert state(one)[2] == one.instruction_id
        assert not Instruction.objects.filter(text="Name the seven hills of Rome").exists()

    @pytest.mark.parametrize(
        ("text", "message"), [("", "needs a text"), (" ?! ", "needs a text"), ("x" * 20_001, "characters long")]
    )
    def test_a_text_that_is_none_is_refused(self, gate, one, bob, text, message):
        with pytest.raises(Refused, match=message):
            new_texts.edit(stage=gate, candidate=one, actor=bob, text=text)

    def test_a_text_that_the_pools_hold_is_refused(self, gate, iteration, one, bob):
        other = candidates(iteration).last().instruction
        known = pools_of.cache_pool(iteration.experiment, 1).first()
        for there in (other, known):
            with pytest.raises(Refused, match=f"as instruction {there.pk}"):
                new_texts.edit(stage=gate, candidate=one, actor=bob, text=there.text, given=there.input)
        with pytest.raises(Refused, match="the same as before"):
            new_texts.edit(stage=gate, candidate=one, actor=bob, text=one.instruction.text, given=one.instruction.input)

    def test_zero_bytes_and_lone_surrogates_are_replaced(self, gate, one, bob):
        new_texts.edit(stage=gate, candidate=one, actor=bob, text="Odd \x00 and \ud800 text")

        assert Instruction.objects.get(pk=state(one)[2]).text == "Odd \ufffd and ? text"

    def test_undo_brings_the_generated_text_back(self, gate, one, bob):
        before = Membership.objects.filter(candidate=one).values_list("similarity", flat=True)[0]
        new_texts.edit(stage=gate, candidate=one, actor=bob, text="Something else entirely")

        approvals.undo(stage=gate, actor=bob)

        assert state(one) == (Approval.PENDING, "", one.instruction_id)
        assert set(Membership.objects.filter(candidate=one).values_list("similarity", flat=True)) == {before}


class TestKeepingAnyway:
    @pytest.fixture
    def dropped(self, iteration):
        one = iteration.candidates.exclude(rejected="").order_by("pk").first()
        Candidate.objects.filter(pk=one.pk).update(raw="Instruction: Compare a sonnet with a haiku.\nInput: Two poems")
        one.refresh_from_db()
        return one

    def test_it_joins_both_pools_as_if_it_had_been_accepted(self, gate, iteration, dropped, bob):
        new_texts.keep_anyway(stage=gate, candidate=dropped, actor=bob)

        rows = Membership.objects.filter(candidate=dropped).select_related("instruction")
        assert {(row.pool, row.since, row.source, row.parent_id, row.approval) for row in rows} == {
            (pool, 2, dropped.difficulty, dropped.parent_id, Approval.PENDING) for pool in ("train", "cache")
        }
        assert (rows[0].instruction.text, rows[0].instruction.input) == ("Compare a sonnet with a haiku.", "Two poems")
        dropped.refresh_from_db()
        assert (dropped.rejected, dropped.instruction) == ("near_duplicate", rows[0].instruction)
        assert AuditEvent.objects.get(action="approval.keep_anyway").detail == {"dropped_as": "near_duplicate"}
        assert asked(gate).count() == 17

    def test_a_second_time_is_refused(self, gate, dropped, bob):
        new_texts.keep_anyway(stage=gate, candidate=dropped, actor=bob)

        with pytest.raises(Refused, match="in the queue already"):
            new_texts.keep_anyway(stage=gate, candidate=dropped, actor=bob)

    def test_undo_takes_it_out_again(self, gate, dropped, bob):
        new_texts.keep_anyway(stage=gate, candidate=dropped, actor=bob)
        approve(gate, dropped, bob)

        approvals.undo(stage=gate, actor=bob)
        approvals.undo(stage=gate, actor=bob)

        dropped.refresh_from_db()
        assert dropped.instruction is None
        assert not Membership.objects.filter(candidate=dropped).exists()

    def test_a_reply_that_the_parser_refuses_is_taken_whole(self, gate, dropped, bob):
        Candidate.objects.filter(pk=dropped.pk).update(
            raw="I cannot say enough good of haiku; why?", rejected="refusal"
        )

        new_texts.keep_anyway(stage=gate, candidate=dropped, actor=bob)

        assert Instruction.objects.get(pk=state(dropped)[2]).text == "I cannot say enough good of haiku; why?"

    @pytest.mark.parametrize("raw", ["", "  \n", "..."])
    def test_a_reply_without_a_text_is_refused(self, gate, dropped, bob, raw):
        Candidate.objects.filter(pk=dropped.pk).update(raw=raw)

        with pytest.raises(Refused, match="needs a text"):
            new_texts.keep_anyway(stage=gate, candidate=dropped, actor=bob)


class TestClosing:
    def test_what_nobody_decided_stays_out_of_the_pools(self, gate, iteration, one, alice):
        approve(gate, one, alice)

        approvals.close(stage=gate, actor=alice)

        assert set(pools_of.train_pool(iteration.experiment, 2)) == {one.instruction}
        assert AuditEvent.objects.get(action="gate.approve.close").detail == {"left_open": 15}

    def test_where_every_decision_is_required_it_waits(self, alice):
        gate = gate_of(waiting_iteration(alice, approval="require"))

        with pytest.raises(Refused, match="16 items are still open"):
            approvals.close(stage=gate, actor=alice)
        approvals.decide_many(stage=gate, rows=asked(gate), actor=alice, approve=True, rule={})
        approvals.close(stage=gate, actor=alice)

        with pytest.raises(Refused, match="not waiting"):
            approvals.close(stage=gate, actor=alice)


@pytest.mark.django_db(transaction=True)
def test_of_people_who_decide_at_once_exactly_one_is_first_and_the_others_are_told(alice, bob, charlie):
    iteration = waiting_iteration(alice)
    one = candidates(iteration).first()
    together, outcomes = threading.Barrier(6), []

    def decide(person, yes):
        try:
            together.wait(10)
            action = approvals.decide(
                stage=gate_of(iteration), candidate=one, actor=person, approve=yes, reason="unsafe", seen=0
            )
            outcomes.append((action.pk, yes))
        except approvals.Stale:
            outcomes.append(None)
        finally:
            connection.close()

    people = [(alice, True), (bob, False), (charlie, True), (alice, False), (bob, True), (charlie, False)]
    threads = [threading.Thread(target=decide, args=pair) for pair in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    (first,) = [outcome for outcome in outcomes if outcome]
    assert len(outcomes) == 6
    assert state(one)[0] == (Approval.APPROVED if first[1] else Approval.REJECTED)
    assert AuditEvent.objects.filter(target_type="candidate").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_decision_and_the_closing_at_once_end_in_one_order(alice, bob):
    iteration = waiting_iteration(alice)
    one = candidates(iteration).first()
    together, outcomes = threading.Barrier(2), {}

    def run(name, act):
        try:
            together.wait(10)
            act()
            outcomes[name] = True
        except Refused:
            outcomes[name] = False
        finally:
            connection.close()

    acts = {
        "decide": lambda: approve(gate_of(iteration), one, bob),
        "close": lambda: approvals.close(stage=gate_of(iteration), actor=alice),
    }
    threads = [threading.Thread(target=run, args=pair) for pair in acts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert outcomes["close"]
    left_open = AuditEvent.objects.get(action="gate.approve.close").detail["left_open"]
    assert left_open == (15 if outcomes["decide"] else 16)
    assert state(one)[0] == (Approval.APPROVED if outcomes["decide"] else Approval.PENDING)
