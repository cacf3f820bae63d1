"""All that happened to one instruction, in order, without giving opinions away."""

import pytest
from django.template.loader import render_to_string

from lionweb.models import BulkJob, DecisionKind, StageKind
from lionweb.selectors.history import history_of
from lionweb.services import audit, gates
from lionweb.services.bulk import start_bulk, undo_bulk
from lionweb.services.bulk_work import work_on
from lionweb.services.conflicts import live_opinions, resolve, version_of
from lionweb.services.instructions import delete_instruction, edit_instruction, restore_instruction
from lionweb.services.reviews import undo
from tests import factories as make
from tests import review_factories as review


@pytest.fixture
def eve(db):
    return review.annotators("eve")[0]


@pytest.fixture
def iteration(alice):
    return review.waiting_iteration(alice, reviewers_per_item=2)


@pytest.fixture
def item(iteration):
    return review.items_of(iteration)[0]


def lines(instruction, reader=None):
    return [f"{one.who}: {one.what} {one.instruction or ''}".strip() for one in history_of(instruction, reader)]


def test_decisions_those_taken_back_and_the_resolution_in_order(item, alice, bob, eve):
    undo(person=bob, decision=review.say(item, bob, "easy"))
    review.disagree(item, bob, eve)
    resolve(classification=item, person=alice, kind=DecisionKind.EASY, seen=version_of(live_opinions(item)))

    assert lines(item.instruction) == [
        ": It was stored.",
        "bob: decided easy",
        "bob: took back: easy",
        "bob: decided hard",
        "eve: decided easy",
        "alice: resolved the conflict as easy",
    ]
    undone = [one.what for one in history_of(item.instruction) if one.is_undone]
    assert undone == ["decided easy"]


def test_comments_corrections_flags_and_skips(item, bob, eve):
    review.say(item, bob, "flag", comment="Please look.")
    review.say(item, eve, "teacher_wrong", comment="Wrong year.", corrected="In 1969.")

    found = history_of(item.instruction)

    assert [(one.what, one.said) for one in found[1:]] == [
        ("asked for a second opinion", "Please look."),
        ("decided teacher is wrong, with a corrected answer", "Wrong year."),
    ]
    assert found[1].where == "Small student, iteration 1"


def test_opinions_of_others_on_an_open_item_wait_until_one_has_decided(item, bob, eve):
    review.say(item, bob, "hard", comment="Clearly hard.")

    assert lines(item.instruction, reader=eve) == [": It was stored."]
    assert "bob: decided hard" in lines(item.instruction, reader=bob)
    review.say(item, eve, "hard")
    assert "bob: decided hard" in lines(item.instruction, reader=eve)


def test_who_only_skips_or_asks_for_help_reads_no_opinions_yet(item, bob, eve):
    review.say(item, bob, "hard")
    for kind in ("skip", "flag"):
        review.say(item, eve, kind)

        assert "bob: decided hard" not in lines(item.instruction, reader=eve)


def test_a_flag_of_another_is_read_by_all_since_it_asks_them(item, bob, eve):
    review.say(item, bob, "flag", comment="Please look.")

    assert lines(item.instruction, reader=eve)[1:] == ["bob: asked for a second opinion"]


def test_a_settled_item_is_open_to_everyone(iteration, item, bob, eve, charlie):
    review.disagree(item, bob, eve, ("hard", "hard"))

    assert "bob: decided hard" in lines(item.instruction, reader=charlie)


def test_in_blind_review_settled_decisions_wait_for_the_gate_except_for_researchers(alice, bob, eve, charlie):
    iteration = review.waiting_iteration(alice, reviewers_per_item=2, blind_review=True)
    item = review.items_of(iteration)[0]
    review.disagree(item, bob, eve, ("hard", "hard"))

    assert lines(item.instruction, reader=bob)[1:] == ["bob: decided hard"]
    assert lines(item.instruction, reader=charlie)[1:] == []
    assert len(lines(item.instruction, reader=alice)) == 3
    review.close_gate(iteration)
    assert len(lines(item.instruction, reader=charlie)) == 3


def edit(actor, instruction, **changes):
    values = {name: getattr(instruction, name) for name in ("text", "input", "category", "language")}
    return edit_instruction(actor=actor, instruction=instruction, **values | changes)


def changed_with_others(actor, instructions, action, value=""):
    job = start_bulk(actor=actor, action=action, value=value, ids=[one.pk for one in instructions])
    work_on(job.pk)
    return BulkJob.objects.get(pk=job.pk)


def test_edits_labels_deletions_and_restorations_are_told_once(db, alice, bob):
    (old,) = make.make_instructions(1)
    edit(alice, old, category="Poems", language="fr")
    new = edit(alice, old, text="Better.")
    delete_instruction(actor=bob, instruction=old)
    restore_instruction(actor=bob, instruction=old)
    delete_instruction(actor=alice, instruction=old)
    was = old.category, old.language
    old.refresh_from_db()

    assert lines(old)[1:] == [
        f"alice: set the category from “{was[0]}” to “Poems” and the language from “{was[1]}” to “fr”",
        f"alice: edited it into instruction {new.pk}",
        "bob: deleted an instruction",
        "bob: restored an instruction",
        "alice: deleted an instruction",
    ]
    assert lines(new) == [f"alice: wrote it as an edit of instruction {old.pk}"]


def test_changes_of_many_that_took_it_along(db, alice, bob):
    first, second, third = make.make_instructions(3)
    was = first.category
    changed_with_others(alice, [first, second, third], "category", "Many")
    changed_with_others(bob, [first, second], "delete")
    taken_back = changed_with_others(bob, [first], "language", "xx")
    undo_bulk(actor=bob, job=taken_back)
    work_on(taken_back.pk)

    # The database's clock stands still within the test's transaction.
    told = [one for one in history_of(first) if one.who]
    assert [f"{one.who}: {one.what}" for one in told] == [
        f"alice: set the category from “{was}” to “Many”, with 2 others",
        "bob: deleted it, with 1 other",
        f"bob: set the language from “{first.language}” to “xx”",
    ]
    assert [one.is_undone for one in told] == [False, False, True]


def test_audited_events_of_it_and_of_the_gates_it_passed(iteration, item, alice, bob):
    audit.record(actor=alice, action="instruction.restore", target=item.instruction, reason="By mistake.")
    audit.record(actor=bob, action="experiment.pause", target=iteration.experiment)
    gates.close_review(stage=iteration.stages.get(kind=StageKind.REVIEW), actor=alice)

    found = history_of(item.instruction)

    assert [(one.what, one.said) for one in found[1:]] == [
        ("restored an instruction", "By mistake."),
        ("closed the review gate with 8 open", ""),
    ]
    assert found[-1].where == "Small student"


def test_approval_of_a_generated_instruction(iteration, alice):
    (new,) = make.add_candidates(iteration, make.make_instructions(2), accepted=1, rejected={})
    audit.record(actor=alice, action="approval.approved", target=new.candidates.get())

    assert lines(new)[1:] == ["alice: approved a generated instruction"]


def test_the_number_of_queries_is_fixed(iteration, item, bob, eve, django_assert_max_num_queries):
    review.disagree(item, bob, eve)

    with django_assert_max_num_queries(10):
        history_of(item.instruction)


def test_the_fragment_escapes_what_people_wrote(item, bob):
    review.say(item, bob, "hard", comment="<script>x</script>")

    new = edit(bob, item.instruction, text="Better.")

    page = render_to_string("history/_item.html", {"history": history_of(item.instruction)})

    assert f'<a href="/instructions/{new.pk}/">{new.pk}</a>' in page
    assert "&lt;script&gt;x" in page
    assert "<bdi>bob</bdi>" in page


def test_the_fragment_of_nothing(db):
    assert "Nothing has happened to it yet." in render_to_string("history/_item.html", {"history": ()})
