"""The page of the referee's health in Chromium: its figures are those of SQL, and it is fit to be read at any width."""

import random
from dataclasses import replace

import pytest
from django.core.cache import cache
from django.db.models import Avg, F
from django.db.models.functions import Length

from distill.settings import RefereeSettings
from lionweb.models import Response, Review
from tests import factories as make
from tests import review_factories as review
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]
CATEGORIES = ("writing", "coding", "reasoning", "")


@pytest.fixture(autouse=True)
def _fresh():
    cache.clear()


@pytest.fixture
def iteration(alice, bob):
    """Sixty judged items, some flipped, tied or without scores; people decided on forty, a few of them of other kinds."""
    iteration = review.waiting_iteration(alice, items=0)
    make.make_base(iteration.experiment)
    instructions = make.make_instructions(60)
    for place, one in enumerate(instructions):
        one.category = CATEGORIES[place % len(CATEGORIES)]
        one.save(update_fields=["category"])
    noise = random.Random(4)
    gaps = [None if place % 20 == 19 else round(noise.gauss(0.9, 1.4), 3) for place in range(60)]
    gaps[5] = 0.0
    rows = make.classify(iteration, iteration.checkpoint, instructions, gaps, for_review=True)
    iteration.classifications.filter(pk__in=[row.pk for row in rows[3:60:9]]).update(flipped=True)
    for place, row in enumerate(rows):
        Response.objects.filter(pk=row.student_response_id).update(text="It is so. " * (2 + place % 7))
    Review.objects.filter(order="teacher_first", score_teacher__lt=9).update(score_teacher=F("score_teacher") + 1)
    for place, item in enumerate(review.items_of(iteration)[:40]):
        is_hard = item.gap is not None and item.gap > 1.8 + noise.gauss(0, 0.2)
        review.say(item, bob, "unsafe" if place % 13 == 12 else "hard" if is_hard else "easy")
    second = make.make_iteration(iteration.experiment, number=2, done=4)
    make.classify(second, make.make_checkpoint(second), instructions[:24], [one and one / 2 for one in gaps[:24]])
    return iteration


def open_page(page, iteration):
    page.goto(f"/experiments/{iteration.experiment_id}/referee/?iteration={iteration.number}")
    page.wait_for_selector("#figure-teacher_length")
    return page


def value(page, name):
    """The number in front of its interval, and how many it is of."""
    cells = page.locator(f"#figure-{name} td")
    first = cells.nth(0).inner_text().replace("\u00a0", " ").split()[0]
    return float(first.replace(",", "").replace("−", "-")), int(cells.nth(1).inner_text())


def test_the_figures_are_those_of_sql(sign_in, alice, iteration, shoot):
    page = open_page(sign_in(alice), iteration)
    rows = iteration.classifications.filter(pool="cache")
    scored = rows.exclude(gap=None)
    decided = scored.exclude(person_kind="")
    agreed = decided.filter(person_kind=F("referee_verdict"))
    expected = {
        "flips": (scored.filter(flipped=True).count(), scored.count()),
        "ties": (scored.filter(score_teacher=F("score_student")).count(), scored.count()),
        "unscored": (rows.filter(gap=None).count(), rows.count()),
        "agreement": (agreed.count(), decided.count()),
    }
    for name, (part, n) in expected.items():
        assert part > 0
        assert value(page, name) == (pytest.approx(100 * part / n, abs=0.051), n), name
    length = scored.aggregate(mean=Avg(Length("teacher_response__text")))["mean"]
    assert value(page, "teacher_length") == (pytest.approx(length, abs=0.51), scored.count())
    assert "measured on the same decisions" in page.locator(".advice").inner_text()
    shoot(page, "referee")


def test_zoomed_to_400_percent_nothing_sticks_out(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    for width in (320, 800):  # 320: 1280 at 400 %
        page.set_viewport_size({"width": width, "height": 256})

        assert page.evaluate("document.documentElement.scrollWidth") <= width
        table = page.locator(".referee-figures").first
        assert table.evaluate("one => one.scrollWidth - one.parentElement.clientWidth") <= 0, width


def test_without_a_script_the_lengths_are_one_link_away(browser, live_server, sign_in, alice, iteration):
    cookies = sign_in(alice).context.cookies()
    with browser.new_context(base_url=live_server.url, java_script_enabled=False) as context:
        context.add_cookies(cookies)
        page = context.new_page()
        page.goto(f"/experiments/{iteration.experiment_id}/referee/?iteration=1")
        page.click("#lengths a")

        assert page.locator("#figure-teacher_length").count() == 1


def test_empty_and_almost_empty_pages_and_a_referee_without_orders(sign_in, alice, shoot):
    page = sign_in(alice)
    settings = replace(make.SMALL, referee=RefereeSettings(mode="likelihood"))
    made = make.make_experiment(alice, settings=settings)
    page.goto(f"/experiments/{made.pk}/referee/")
    shoot(page, "referee-empty")
    iteration = make.make_iteration(made, done=4)
    checkpoint = make.make_checkpoint(iteration)
    make.classify(iteration, checkpoint, make.make_instructions(1), [1.5])
    cache.clear()
    open_page(page, iteration)
    assert "does not apply" in page.locator("#figure-flips").inner_text()
    shoot(page, "referee-one")
    assert violations(page) == []


def test_axe_finds_nothing_wrong(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    found = {}
    for size in ({"width": 1280, "height": 900}, {"width": 320, "height": 600}):
        page.set_viewport_size(size)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.wait_for_timeout(350)
            found[size["width"], theme] = violations(page)
    assert {where: wrong for where, wrong in found.items() if wrong} == {}
