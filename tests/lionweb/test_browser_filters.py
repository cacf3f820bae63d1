"""Each filter and order of the pool browser against a plain answer in Python, and its pages through ties and empty values."""

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from django.db import connection
from django.utils import timezone

from lionweb.models import Classification, Decision, Instruction, MemberPool, Membership, MemberSource
from lionweb.selectors import browser
from lionweb.selectors.browser import browser_page, matching_ids
from lionweb.selectors.browser_state import BrowserState, fitted, offered_columns, state_of
from lionweb.selectors.scope import scope_of
from tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def experiment(alice, bob):
    """24 judged members among 60 instructions; some decided by bob, one deleted, two outside the train pool."""
    made = make.make_experiment(alice, pool=make.make_pool(rows=60))
    iteration = make.finish_iteration(made)
    cache = list(iteration.classifications.filter(pool="cache").order_by("pk"))
    for place, one in enumerate(cache):
        one.gap = None if place % 5 == 4 else (place % 4) / 2  # ties and empty ones
        one.score_student = None if one.gap is None else 1 + place % 3
        one.score_teacher = None if one.gap is None else 2 + place % 3
        one.referee_verdict = "unscored" if one.gap is None else "hard" if one.gap >= 1 else "easy"
        one.review_state = ("pending", "flagged", "confirmed", "")[place % 4]
        if place % 3 == 0:
            one.person_verdict, one.person_kind, one.person_at = "hard", ("hard", "unsafe")[place % 2], timezone.now()
            Decision.objects.create(classification=one, person=bob, kind=one.person_kind)
        one.save()
    Instruction.objects.filter(pk=cache[3].instruction_id).update(deleted_at=timezone.now())
    Membership.objects.filter(experiment=made, pool="train", instruction=cache[5].instruction_id).update(
        approval="rejected"
    )
    return made


def shown(**said):
    state = state_of({name: str(value) for name, value in said.items()})
    scope = scope_of(pool=state.pool, experiment=state.experiment, iteration=state.iteration)
    return fitted(state, scope), scope


def ids_of(**said):
    page = browser_page(*shown(**said))
    assert page.count == len(page.rows)
    assert not page.is_about
    return {row.id for row in page.rows}


def judged(experiment, holds):
    rows = Classification.objects.filter(iteration__experiment=experiment, checkpoint__number=1)
    return {
        one.instruction_id
        for one in rows.select_related("instruction")
        if not one.instruction.deleted_at and holds(one)
    }


JUDGED = {
    "verdict": ({"verdict": "hard"}, lambda c: c.verdict == "hard"),
    "unscored": ({"verdict": "unscored"}, lambda c: c.verdict == "unscored"),
    "decided": ({"decision": "any"}, lambda c: c.person_at),
    "not decided": ({"decision": "none"}, lambda c: not c.person_at),
    "one kind of decision": ({"decision": "unsafe"}, lambda c: c.person_kind == "unsafe"),
    "flagged": ({"review": "flagged"}, lambda c: c.review_state == "flagged"),
    "pending": ({"review": "pending"}, lambda c: c.review_state == "pending"),
    "gap from": ({"gap_from": 1}, lambda c: c.gap is not None and c.gap >= 1),
    "gap to": ({"gap_to": 0.5}, lambda c: c.gap is not None and c.gap <= 0.5),
    "gap between": ({"gap_from": 0.5, "gap_to": 0.5}, lambda c: c.gap == 0.5),
    "teacher's score": ({"teacher_from": 3}, lambda c: c.score_teacher is not None and c.score_teacher >= 3),
    "student's score": ({"student_to": 2}, lambda c: c.score_student is not None and c.score_student <= 2),
    "its pool": ({"member": "heldout", "gap_from": -100}, lambda c: c.pool == "heldout"),
    "several": (
        {"verdict": "hard", "review": "pending", "decision": "none"},
        lambda c: c.verdict == "hard" and c.review_state == "pending" and not c.person_at,
    ),
}


@pytest.mark.parametrize("name", JUDGED)
def test_what_people_and_the_referee_said_filters(experiment, name):
    said, holds = JUDGED[name]

    assert ids_of(experiment=experiment.pk, **said) == judged(experiment, holds)


def test_by_reviewer_and_not_by_what_was_taken_back(experiment, alice, bob):
    wanted = judged(experiment, lambda c: c.decisions.exists())
    assert ids_of(experiment=experiment.pk, reviewer=bob.pk) == wanted
    assert not ids_of(experiment=experiment.pk, reviewer=alice.pk)

    Decision.objects.update(undone_at=timezone.now())

    assert not ids_of(experiment=experiment.pk, reviewer=bob.pk)


PLAIN = {
    "category": ({"category": "writing"}, lambda i: i.category == "writing"),
    "language": ({"language": "en"}, lambda i: i.language == "en"),
    "length from": ({"length_from": 60}, lambda i: i.length >= 60),
    "length between": ({"length_from": 30, "length_to": 70}, lambda i: 30 <= i.length <= 70),
    "both": ({"category": "writing", "length_to": 60}, lambda i: i.category == "writing" and i.length <= 60),
    "word": ({"q": "write"}, lambda i: any(word.startswith("write") for word in i.text.lower().split())),
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("where", ["everywhere", "pool", "experiment"])
def test_the_instructions_own_columns_filter(experiment, monkeypatch, name, where):
    monkeypatch.setattr(browser, "PAGE_SIZE", 100)
    said, holds = PLAIN[name]
    members = Membership.objects.filter(experiment=experiment, since=1, approval="approved")
    within = {"pool": experiment.pool.entries.values("instruction"), "experiment": members.values("instruction")}
    among = Instruction.objects.filter(deleted_at=None)
    among = among.filter(pk__in=within[where]) if where in within else among
    scope = {"pool": {"pool": experiment.pool_id}, "experiment": {"experiment": experiment.pk, "iteration": 1}}

    found = ids_of(**said, **scope.get(where, {}))

    wanted = {one.pk for one in among if holds(one)}
    assert found == wanted if where != "experiment" else wanted <= found


@pytest.mark.parametrize("source", MemberSource.values)
@pytest.mark.parametrize("pool", ["", *MemberPool.values])
def test_pool_and_source_of_members(experiment, pool, source):
    make.make_iteration(experiment, 2)
    rows = Membership.objects.filter(experiment=experiment, approval="approved", source=source)
    rows = rows.filter(pool=pool) if pool else rows
    rows = rows.filter(since=2) if pool == "train" else rows
    wanted = {one.instruction_id for one in rows.select_related("instruction") if not one.instruction.deleted_at}

    assert ids_of(experiment=experiment.pk, iteration=2, source=source, member=pool) == wanted


def test_who_was_taken_out_is_no_member_later(experiment):
    one = Membership.objects.filter(experiment=experiment, pool="cache", since=1).first()
    Membership.objects.filter(pk=one.pk).update(until=1)
    make.make_iteration(experiment, 2)

    assert one.instruction_id in ids_of(experiment=experiment.pk, iteration=1, member="cache")
    assert one.instruction_id not in ids_of(experiment=experiment.pk, iteration=2, member="cache")


def test_deleted_ones_are_left_out_unless_they_are_asked_for(db):
    kept, gone = make.make_instructions(2)
    Instruction.objects.filter(pk=gone.pk).update(deleted_at=timezone.now())

    assert ids_of() == {kept.pk}
    assert ids_of(deleted="only") == {gone.pk}
    assert ids_of(deleted="with") == {kept.pk, gone.pk}


ORDERS = {
    "text": lambda i: i.text[:32].encode(),
    "category": lambda i: i.category.encode(),
    "language": lambda i: i.language.encode(),
    "length": lambda i: i.length,
    "id": lambda i: i.pk,
}


def walked(monkeypatch, size=4, **said):
    """Ids of all pages forwards, and of all pages on the way back."""
    monkeypatch.setattr(browser, "PAGE_SIZE", size)
    state, scope = shown(**said)
    forwards, pages = [], []
    for _ in range(100):
        page = browser_page(state, scope)
        forwards += [row.id for row in page.rows]
        pages.append([row.id for row in page.rows])
        if not page.next:
            break
        state = fitted(state_of(dict(parse_qsl(page.next))), scope)
    backwards = list(pages[-1])
    while page.previous:
        page = browser_page(fitted(state_of(dict(parse_qsl(page.previous))), scope), scope)
        backwards = [row.id for row in page.rows] + backwards
    return forwards, backwards


@pytest.mark.parametrize("sort", [*ORDERS, *(f"-{name}" for name in ORDERS)])
@pytest.mark.parametrize("where", ["everywhere", "pool", "experiment"])
def test_every_order_visits_each_row_once_forwards_and_backwards(experiment, monkeypatch, sort, where):
    scope = {"pool": {"pool": experiment.pool_id}, "experiment": {"experiment": experiment.pk}}.get(where, {})

    forwards, backwards = walked(monkeypatch, size=7, sort=sort, **scope)

    rows = {one.pk: one for one in Instruction.objects.filter(pk__in=forwards)}
    key, reverse = ORDERS[sort.removeprefix("-")], sort.startswith("-")
    assert forwards == sorted(rows, key=lambda pk: (key(rows[pk]), pk), reverse=reverse)
    assert len(set(forwards)) == len(forwards)
    assert backwards == forwards


def test_counting_hurries_nothing_that_comes_after_it(experiment, monkeypatch):
    walked(monkeypatch, size=7)

    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)


@pytest.mark.parametrize("sort", ["gap", "-gap", "teacher", "-teacher", "student", "-student"])
def test_scores_order_through_ties_and_empty_ones(experiment, monkeypatch, sort):
    forwards, backwards = walked(monkeypatch, size=3, sort=sort, experiment=experiment.pk, member="cache")

    name = {"gap": "gap", "teacher": "score_teacher", "student": "score_student"}[sort.removeprefix("-")]
    rows = Classification.objects.filter(iteration__experiment=experiment, pool="cache", instruction__deleted_at=None)
    values = {one.instruction_id: getattr(one, name) for one in rows}
    wanted = sorted(values, key=lambda pk: (values[pk] is None, values[pk] or 0, pk), reverse=sort.startswith("-"))
    assert forwards == wanted
    assert backwards == forwards


def test_all_that_match_are_the_rows_of_all_pages(experiment, monkeypatch):
    forwards, _ = walked(monkeypatch, size=5, experiment=experiment.pk, verdict="hard", sort="-gap")
    wanted = matching_ids(*shown(experiment=experiment.pk, verdict="hard", sort="-gap"))

    with connection.cursor() as cursor:
        cursor.execute(wanted.sql, wanted.values)
        assert sorted(row[0] for row in cursor.fetchall()) == sorted(forwards)


class TestState:
    def test_the_query_says_the_same_again(self):
        said = {
            "q": 'a "b c" -d',
            "gap_from": "-0.5",
            "length_to": "30",
            "cols": "gap,category",
            "sort": "-gap",
            "deleted": "with",
        }
        state = state_of(said)

        assert state_of(dict(parse_qsl(state.query()))) == state

    @pytest.mark.parametrize("name", ["gap_from", "teacher_to", "length_from", "reviewer", "pool"])
    @pytest.mark.parametrize("value", ["x", "nan", "inf", "1e999", "9" * 30 + "x"])
    def test_a_number_that_is_none_is_refused(self, name, value):
        with pytest.raises(ValueError, match="must be a number"):
            state_of({name: value})

    def test_words_that_mean_nothing_are_passed_over(self):
        said = {"sort": "x", "verdict": "x", "decision": "x", "review": "x", "deleted": "x", "cols": "x,gap,<b>"}

        assert state_of(said) == BrowserState(cols="gap")

    def test_columns_follow_the_scope(self, experiment):
        _, scope = shown()
        _, judged_scope = shown(experiment=experiment.pk)

        assert "gap" not in offered_columns(scope)
        assert BrowserState(cols="gap,number").columns(scope) == ("number",)
        assert BrowserState(cols="gap,number").columns(judged_scope) == ("number", "gap")
        assert replace(BrowserState(), cols="").columns(scope) == ("category", "language", "length")
