"""While a review is blind, no page of figures tells annotators what the referee or other people said."""

import pytest
from django.urls import reverse

from tests import review_factories as review

pytestmark = pytest.mark.django_db
NAMES = ("experiment-threshold", "threshold-data", "threshold-what-if")


@pytest.fixture
def iteration(alice, bob):
    iteration = review.waiting_iteration(alice, items=4, blind_review=True)
    review.say(review.items_of(iteration)[0], bob, "easy")
    return iteration


def statuses(client, iteration, person, urls):
    client.force_login(person)
    return {client.get(url).status_code for url in urls}


def test_the_threshold_of_a_blind_review_is_shown_to_others_once_it_is_closed(client, iteration, alice, bob):
    urls = [reverse(name, args=[iteration.experiment_id]) for name in NAMES]
    assert statuses(client, iteration, alice, urls) == {200}
    assert statuses(client, iteration, bob, urls) == {403}
    review.close_gate(iteration)
    assert statuses(client, iteration, bob, urls) == {200}


def test_referee_health_of_a_blind_review_leaves_out_how_people_decided(client, iteration, alice, bob):
    url = reverse("experiment-referee", args=[iteration.experiment_id])
    seen = {}
    for person in (alice, bob):
        client.force_login(person)
        page = client.get(url).context
        names = {figure.name for figure in page["health"].figures}
        seen[person.username] = ("agreement" in names, "calibration" in page, page["rows"][0].agreement.n)
    assert seen == {"alice": (True, True, 1), "bob": (False, False, 0)}
