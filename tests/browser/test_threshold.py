"""The draggable threshold in Chromium: every count on the page is what SQL counts."""

import random

import pytest
from django.core.cache import cache

from lionweb.models import Experiment
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
    """Eighty judged items, most gaps on no edge of a bin, some without scores; people decided on a dozen."""
    iteration = review.waiting_iteration(alice, items=0)
    make.make_base(iteration.experiment)
    instructions = make.make_instructions(80)
    for place, one in enumerate(instructions):
        one.category = CATEGORIES[place % len(CATEGORIES)]
        one.save(update_fields=["category"])
    noise = random.Random(4)
    gaps = [None if place % 20 == 19 else round(min(8, noise.gauss(0.9, 1.4)), 3) for place in range(80)]
    make.classify(iteration, iteration.checkpoint, instructions, gaps, for_review=True)
    for place, item in enumerate(review.items_of(iteration)[:36:3]):
        review.say(item, bob, ("hard", "easy", "easy", "unsafe")[place % 4])
    return iteration


def by_sql(iteration, tau):
    rows = iteration.classifications.filter(pool="cache")
    undecided = rows.filter(person_kind="")
    people = rows.filter(gap__isnull=False, person_kind__in=["hard", "easy"])
    agreed = people.filter(gap__gte=tau, person_kind="hard") | people.filter(gap__lt=tau, person_kind="easy")
    hard = undecided.filter(gap__gte=tau) | rows.filter(person_verdict="hard")
    easy = undecided.filter(gap__lt=tau) | rows.filter(person_verdict="easy")
    return {
        "final-hard": hard.count(),
        "final-easy": easy.count(),
        "final-unscored": rows.count() - hard.count() - easy.count(),
        "referee-hard": rows.filter(gap__gte=tau).count(),
        "referee-easy": rows.filter(gap__lt=tau).count(),
        "referee-unscored": rows.filter(gap__isnull=True).count(),
        "agreement-n": people.count(),
        "agreed": round(100 * agreed.count() / people.count(), 1),
        "seeds-hard": hard.count(),
        "seeds-easy": easy.count(),
        "mix": {name or "no category": hard.filter(instruction__category=name).count() for name in CATEGORIES},
    }


def on_page(page):
    """The counts that the page shows now, once it has drawn and has all answers."""
    page.wait_for_function("!document.getElementById('threshold-state').textContent.includes('Counting')")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    ids = ["final-hard", "final-easy", "final-unscored", "referee-hard", "referee-easy", "referee-unscored"]
    ids += ["agreement-n", "seeds-hard", "seeds-easy"]
    found = {one: int(page.text_content(f"#{one}")) for one in ids}
    found["agreed"] = float(page.text_content("#agreement").split("\u00a0")[0])
    rows = page.locator("#mix tbody tr").all()
    found["mix"] = {
        row.locator("td").first.text_content(): int(row.locator("td").nth(1).text_content()) for row in rows
    }
    return found


def tau_of(page):
    return float(page.input_value("#tau"))


def open_page(page, iteration):
    page.goto(f"/experiments/{iteration.experiment_id}/threshold/?iteration={iteration.number}")
    page.wait_for_selector("#threshold-canvas[data-ready] .plot-container")
    page.wait_for_selector("#threshold-line:not([hidden])")
    return page


def drag(page, by, steps=12):
    box = page.locator("#threshold-line").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by, y, steps=steps)
    page.mouse.up()


def test_the_line_is_dragged_and_every_count_is_that_of_sql(sign_in, alice, iteration, shoot):
    page = open_page(sign_in(alice), iteration)
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    assert on_page(page) == by_sql(iteration, 1.0)
    seen = set()
    for by in (90, 60, -260, -90, 150):
        drag(page, by)
        tau = tau_of(page)
        assert on_page(page) == by_sql(iteration, tau), tau
        seen.add(tau)
    assert len(seen) == 5
    assert requests == []
    shoot(page, "threshold")


def test_the_line_follows_the_pointer(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    drag(page, 120)
    on_page(page)
    first = page.locator("#threshold-line").bounding_box()["x"]
    drag(page, 100)
    on_page(page)
    assert page.locator("#threshold-line").bounding_box()["x"] - first == pytest.approx(100, abs=6)


def test_the_arrow_keys_move_it_by_a_bin(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    page.focus("#tau-slider")
    for key, tau in (
        ("ArrowRight", 1.05),
        ("ArrowRight", 1.1),
        ("ArrowLeft", 1.05),
        ("ArrowUp", 1.1),
        ("ArrowDown", 1.05),
    ):
        page.keyboard.press(key)
        assert on_page(page) == by_sql(iteration, tau)
        assert tau_of(page) == tau
    page.focus("#tau")
    page.keyboard.press("ArrowDown")
    assert on_page(page) == by_sql(iteration, 1.0)
    assert page.text_content("#threshold-flag") == "tau 1"


def test_a_typed_threshold_between_two_bins_is_counted_exactly(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    for gap in iteration.classifications.filter(person_kind="", gap__range=(0.2, 1.9)).values_list("gap", flat=True)[
        :4
    ]:
        with page.expect_response("**/threshold/what-if/**"):
            page.fill("#tau", str(gap + 0.0005))
        assert on_page(page) == by_sql(iteration, gap + 0.0005), gap


def test_applying_and_going_back(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    drag(page, 80)
    on_page(page)
    page.click("#tau-back")
    assert tau_of(page) == 1.0
    page.fill("#tau", "2.5")
    page.wait_for_function("document.getElementById('final-hard').textContent !== ''")
    page.click("#apply-button")
    page.wait_for_selector(".message-success")
    iteration.refresh_from_db()
    assert iteration.tau == 2.5
    page.wait_for_selector("#threshold-line:not([hidden])")
    expected = by_sql(iteration, 2.5)
    assert on_page(page) == expected
    assert iteration.classifications.filter(verdict="hard").count() == expected["final-hard"]


def test_who_may_only_look_has_no_button(sign_in, charlie, iteration):
    page = open_page(sign_in(charlie), iteration)
    drag(page, 80)
    assert on_page(page) == by_sql(iteration, tau_of(page))
    assert not page.locator("#apply-button, #replay").count()


def test_the_replay_takes_the_threshold_along(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    drag(page, 100)
    on_page(page)
    assert float(page.input_value("#replay [name=tau]")) == tau_of(page)
    page.fill("#replay [name=name]", "Harder")
    page.complaints.clear()
    page.click("#replay-button")
    # The answers of these made-up rows are not those of the endpoint: the refusal stands on the page, with what was typed.
    page.wait_for_selector("#threshold-failure")
    assert page.input_value("#replay [name=name]") == "Harder"
    assert Experiment.objects.count() == 1
    page.complaints.clear()


def test_no_accessibility_violation(sign_in, alice, iteration):
    page = open_page(sign_in(alice), iteration)
    found = {}
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        page.wait_for_timeout(350)
        found[theme] = violations(page)
    assert found == {"light": [], "dark": []}
