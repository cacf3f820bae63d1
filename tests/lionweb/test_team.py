"""The team panel: counts, people, the estimate from the audit slice, and its cost."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from lionweb.models import Classification, Decision, DecisionKind
from lionweb.selectors.team import team
from lionweb.services.conflicts import live_opinions, resolve, version_of
from lionweb.services.reviews import undo
from lionweb.stopping import Advice
from tests import review_factories as review


@pytest.fixture(autouse=True)
def _fresh():
    cache.clear()


@pytest.fixture
def iteration(alice):
    return review.waiting_iteration(alice, items=10, audit=4)


def fresh(iteration):
    cache.clear()
    return team(iteration)


def test_counts_by_state(iteration, alice, bob):
    one, two, three, four, *_ = review.items_of(iteration)
    review.say(one, bob, "hard")
    review.say(two, bob, "hard")
    review.say(three, bob, "flag")
    review.say(four, bob, "skip")

    found = fresh(iteration)

    assert (found.done, found.open, found.flagged, found.conflicts, found.all) == (2, 8, 1, 0, 10)


def test_a_conflict_is_neither_done_nor_open(alice, bob):
    iteration = review.waiting_iteration(alice, reviewers_per_item=2)
    review.disagree(review.items_of(iteration)[0], alice, bob)

    found = fresh(iteration)

    assert (found.done, found.open, found.conflicts) == (0, 7, 1)


def test_each_person_has_today_total_and_median(iteration, alice, bob):
    items = review.items_of(iteration)
    for item, seconds in zip(items[:3], (4.0, 30.0, 6.0), strict=True):
        review.say(item, bob, "easy", seconds=seconds)
    review.say(items[3], alice, "hard")
    Decision.objects.filter(classification=items[0]).update(created_at=timezone.now() - timedelta(days=2))

    found = fresh(iteration)

    assert [(m.name, m.total, m.today, m.median_seconds) for m in found.members] == [
        ("bob", 3, 2, 6.0),
        ("alice", 1, 1, None),
    ]
    assert found.today == 3


def test_skips_flags_and_what_was_taken_back_are_no_opinions(iteration, bob):
    one, two, three, *_ = review.items_of(iteration)
    review.say(one, bob, "skip")
    review.say(two, bob, "flag")
    undo(person=bob, decision=review.say(three, bob, "hard"))

    assert fresh(iteration).members == ()


def test_the_audit_slice_counts_overrides_of_the_referee(iteration, bob):
    hard, easy, hard_too, _, outside, *_ = review.items_of(iteration)
    review.say(hard, bob, "hard")
    review.say(easy, bob, "hard")
    review.say(hard_too, bob, "bad_instruction")
    review.say(outside, bob, "easy")

    found = fresh(iteration)

    assert (found.audit.drawn, found.audit.decided, found.audit.wrong) == (4, 3, 2)
    assert found.stopping.unseen == 6
    assert found.stopping.left.value == pytest.approx(4.0)


def test_what_the_referee_left_unscored_is_no_error_of_its(iteration, alice, bob):
    unscored, scored, _, _, outside, *_ = review.items_of(iteration)
    Classification.objects.filter(pk__in=[unscored.pk, outside.pk]).update(referee_verdict="unscored")
    review.say(unscored, bob, "hard")
    review.say(scored, bob, "easy")

    found = fresh(iteration)

    assert (found.audit.drawn, found.audit.decided, found.audit.wrong) == (3, 1, 0)
    assert found.stopping.unseen == 8 - 1


def test_where_only_unscored_items_are_open_the_panel_says_so(client, alice, bob):
    iteration = review.waiting_iteration(alice, items=2, audit=1)
    scored, unscored = review.items_of(iteration)
    Classification.objects.filter(pk=unscored.pk).update(referee_verdict="unscored")
    review.say(scored, bob, "hard")
    client.force_login(bob)

    page = client.get(f"/experiments/{iteration.experiment_id}/iterations/1/review/team/").content.decode()

    assert "what is open has no scores" in page


def test_a_resolution_is_no_opinion_of_a_member(alice, bob, dora):
    iteration = review.waiting_iteration(alice, reviewers_per_item=2)
    item = review.items_of(iteration)[0]
    review.disagree(item, alice, bob)
    resolve(classification=item, person=dora, kind=DecisionKind.HARD, seen=version_of(live_opinions(item)))

    assert {one.name for one in fresh(iteration).members} == {"alice", "bob"}


def test_items_outside_the_queue_count_among_those_nobody_looks_at(iteration, bob):
    Classification.objects.filter(pk__in=[i.pk for i in review.items_of(iteration)[6:]]).update(
        for_review=False, review_state=""
    )

    found = fresh(iteration)

    assert (found.all, found.stopping.unseen) == (6, 10)


def test_the_limit_is_the_experiments(alice, bob):
    iteration = review.waiting_iteration(alice, items=10, audit=4, review_stop_percent=60.0)
    for item in review.items_of(iteration)[:4:2]:
        review.say(item, bob, "hard")
    assert fresh(iteration).stopping.advice == Advice.MORE

    for item in review.items_of(iteration)[1:4:2]:
        review.say(item, bob, "easy")

    assert fresh(iteration).stopping.advice == Advice.STOP


def test_the_numbers_are_kept_for_a_moment(iteration, bob, django_assert_num_queries):
    team(iteration)

    with django_assert_num_queries(0):
        team(iteration)


def test_it_costs_a_fixed_number_of_queries(iteration, bob, django_assert_max_num_queries):
    for item in review.items_of(iteration):
        review.say(item, bob, "hard")
    cache.clear()

    with django_assert_max_num_queries(5):
        team(iteration)


class TestPanel:
    def url(self, iteration):
        return f"/experiments/{iteration.experiment_id}/iterations/1/review/team/"

    def test_it_says_what_to_do_and_why(self, client, iteration, bob):
        client.force_login(bob)
        for item in review.items_of(iteration)[:2]:
            review.say(item, bob, item.referee_verdict, seconds=7)

        page = client.get(self.url(iteration)).content.decode()

        assert "<strong>2</strong> of 10 decided" in page
        assert "People overrode 0 of 2 randomly drawn verdicts" in page
        assert "2 of 4 items that were drawn at random" in page
        assert "7\u00a0s" in page
        assert 'hx-trigger="every 10s"' in page

    def test_where_all_must_be_decided_it_says_so_beside_the_estimate(self, client, alice, bob):
        iteration = review.waiting_iteration(alice, audit=2, review="require")
        client.force_login(bob)

        assert "requires a decision on each item" in client.get(self.url(iteration)).content.decode()

    def test_an_iteration_without_a_queue_is_no_error(self, client, alice, bob):
        iteration = review.waiting_iteration(alice, items=0)
        client.force_login(bob)

        answer = client.get(self.url(iteration))

        assert answer.status_code == 200
        assert "Everything is decided." in answer.content.decode()

    def test_there_is_none_of_an_unknown_iteration(self, client, bob):
        client.force_login(bob)

        assert client.get("/experiments/99/iterations/1/review/team/").status_code == 404
