"""Many people at one queue at once, each on a connection of their own."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from django.db import connection
from django.utils import timezone

from distill.settings import GateSettings
from lionweb.models import OPEN_STATES, UNSETTLED, Classification, Decision, ReviewLock, StageKind, StageStatus, User
from lionweb.services import gates, reviews
from lionweb.services.errors import Refused
from lionweb.services.review_locks import take, take_next
from tests import factories as make

pytestmark = pytest.mark.django_db(transaction=True)
PEOPLE = 20


def waiting(alice, **gates_of):
    settings = replace(make.SMALL, gates=GateSettings(review="sample", **gates_of))
    iteration = make.finish_iteration(make.make_experiment(alice, settings=settings))
    iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.WAITING)
    iteration.finished_at = None
    iteration.save()
    needed = settings.gates.reviewers_per_item
    make.queue_up(iteration.classifications.filter(pool="cache"), opinions_needed=needed)
    return iteration


def people(count=PEOPLE):
    return [User.objects.create_user(f"person{n:02}", role="annotator") for n in range(count)]


def at_once(work, over):
    """Run `work` for each in a thread of its own, all starting together; what they return, in order."""
    start = threading.Barrier(len(over))

    def run(one):
        try:
            start.wait(30)
            return work(one)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(over)) as pool:
        return list(pool.map(run, over))


@pytest.mark.parametrize("reviewers", [1, 2])
def test_twenty_people_at_once_lose_nothing_and_get_nothing_twice(alice, reviewers):
    iteration = waiting(alice, reviewers_per_item=reviewers)
    crowded = []

    def review(person):
        done = []
        while Classification.objects.filter(iteration=iteration, review_state__in=OPEN_STATES).exists():
            item = take_next(iteration=iteration, person=person)
            if item is None:
                if len(done) == 24:
                    break
                continue
            holders = ReviewLock.objects.filter(classification=item, expires_at__gt=timezone.now()).count()
            crowded.append(holders) if holders > reviewers else None
            done.append(reviews.decide(classification=item, person=person, kind="easy").pk)
        return done

    saved = [pk for done in at_once(review, people()) for pk in done]

    assert not crowded
    assert set(saved) == set(Decision.objects.values_list("pk", flat=True))
    per_item = Counter(Decision.objects.values_list("classification", flat=True))
    assert set(per_item.values()) == {reviewers}
    assert len(per_item) == 24
    assert not Classification.objects.filter(for_review=True, opinions__lt=reviewers).exists()
    assert not ReviewLock.objects.exists()


def test_twenty_who_take_at_the_same_moment_get_twenty_items(alice):
    iteration = waiting(alice)

    given = at_once(lambda person: take_next(iteration=iteration, person=person).pk, people())

    assert len(set(given)) == PEOPLE


def test_of_two_who_take_the_same_item_one_gets_it(alice):
    item = waiting(alice).classifications.filter(for_review=True).first()

    def try_to(person):
        try:
            return bool(take(classification=item, person=person))
        except Refused as refusal:
            return "has this item open" in str(refusal)

    assert at_once(try_to, people(2)) == [True, True]
    assert ReviewLock.objects.count() == 1


def test_all_twenty_verdicts_on_one_item_are_kept(alice):
    item = waiting(alice).classifications.filter(for_review=True).first()

    at_once(lambda person: reviews.decide(classification=item, person=person, kind="hard").pk, people())

    item.refresh_from_db()
    assert item.opinions == PEOPLE
    assert Decision.objects.filter(undone_at__isnull=True).count() == PEOPLE


def test_a_double_click_counts_once(alice, bob):
    item = waiting(alice).classifications.filter(for_review=True).first()
    seen = reviews.version(item, None)

    def click(_):
        try:
            return reviews.decide(classification=item, person=bob, kind="hard", seen=seen).pk
        except reviews.Stale:
            return None

    assert [answer is None for answer in sorted(at_once(click, range(4)), key=bool)] == [True, True, True, False]
    assert Decision.objects.count() == 1


def test_no_verdict_slips_in_while_the_gate_closes(alice):
    iteration = waiting(alice)
    stage = iteration.stages.get(kind=StageKind.REVIEW)
    rows = list(iteration.classifications.filter(for_review=True))

    def act(person):
        if person == alice:
            gates.close_review(stage=stage, actor=alice)
            return timezone.now()
        saved = 0
        for row in rows:
            try:
                reviews.decide(classification=row, person=person, kind="easy")
                saved += 1
            except Refused:
                continue
        return saved

    *saved, closed_at = at_once(act, [*people(6), alice])

    assert sum(saved) == Decision.objects.count()
    assert not Decision.objects.filter(created_at__gt=closed_at).exists()
    assert not Classification.objects.filter(for_review=True, review_state__in=UNSETTLED).exists()
