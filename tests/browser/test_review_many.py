"""Choosing many items of the review list by mouse, in Chromium."""

import pytest

from lionweb.models import Decision
from tests import review_factories as review
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def test_a_range_by_shift_is_decided_at_once_and_taken_back(sign_in, alice, shoot):
    iteration = review.waiting_iteration(alice)
    page = sign_in(alice)
    page.goto(f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/review/?view=list")
    picks = page.locator(".review-pick")

    picks.nth(1).click()
    picks.nth(4).click(modifiers=["Shift"])
    assert page.inner_text("#review-many-count") == "4 selected"
    page.locator(".review-list a").nth(2).click()
    page.wait_for_selector(".review-list li:nth-child(3) a[aria-current]")
    assert page.inner_text("#review-many-count") == "4 selected"
    shoot(page, "review-many")

    page.select_option("#review-many select", "duplicate")
    page.click("#review-many button")
    page.wait_for_selector("text=4 items are decided: duplicate.")
    chosen = [item.pk for item in review.items_of(iteration)[1:5]]
    assert sorted(Decision.objects.values_list("classification", flat=True)) == chosen

    page.keyboard.press("z")
    page.wait_for_selector("text=4 decisions are taken back.")
    assert not Decision.objects.filter(undone_at__isnull=True).exists()


def test_the_list_has_no_accessibility_violations(sign_in, alice):
    iteration = review.waiting_iteration(alice)
    page = sign_in(alice)
    page.goto(f"/experiments/{iteration.experiment_id}/iterations/{iteration.number}/review/?view=list")

    assert not violations(page)
