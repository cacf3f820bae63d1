"""People, assignments, agreement, conflicts, the team panel, my reviews and the audit log in Chromium."""

import pytest
from django.core.cache import cache

from lionweb.models import Assignment, Decision, ReviewState, User
from lionweb.services.assignments import assign
from lionweb.services.conflicts import live_opinions
from tests import review_factories as review
from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _fresh():
    cache.clear()


@pytest.fixture
def eve(db):
    return review.annotators("eve")[0]


@pytest.fixture
def iteration(alice, bob, eve):
    """Two reviewers an item: alike on seven, in conflict on two, three still open."""
    iteration = review.waiting_iteration(alice, items=12, audit=6, reviewers_per_item=2)
    items = review.items_of(iteration)
    said = [("hard", "hard"), ("easy", "easy"), ("hard", "easy"), ("easy", "easy"), ("easy", "easy"), ("easy", "easy")]
    said += [("hard", "hard"), ("unsafe", "unsafe")]
    for item, kinds in zip(items, said, strict=False):
        review.disagree(item, bob, eve, kinds, seconds=9, comment="As I see it.")
    review.say(items[8], bob, "teacher_wrong", comment="The year is wrong.", corrected="It was in 1969.", seconds=40)
    review.say(items[8], eve, "easy", comment="Good enough for me.", seconds=6)
    review.say(items[9], bob, "hard", seconds=12)
    return iteration


def test_no_page_has_an_accessibility_violation(sign_in, dora, bob, iteration):
    page = sign_in(dora)
    review.say(review.items_of(iteration)[10], bob, "skip")
    addresses = [place(iteration, "agreement"), place(iteration, "conflicts"), "/people/", "/audit/", "/my-reviews/"]
    addresses += [f"/experiments/{iteration.experiment_id}/reviewers/", "/password/", place(iteration, "review")]
    found = {}
    for address in addresses:
        page.goto(address)
        if address.endswith("/review/"):
            page.wait_for_selector("#team .advice")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.wait_for_timeout(350)  # colours that are still changing have no contrast yet
            found[address, theme] = violations(page)

    assert {where: wrong for where, wrong in found.items() if wrong} == {}


def place(iteration, page):
    return f"/experiments/{iteration.experiment_id}/iterations/1/{page}/"


def test_a_conflict_is_settled_with_a_corrected_answer(sign_in, alice, iteration, shoot):
    page = sign_in(alice)
    page.goto(place(iteration, "conflicts"))
    assert page.locator(".conflict").count() == 2
    shoot(page, "conflicts")

    one = page.locator(".conflict").nth(1)
    one.locator("summary").click()
    one.get_by_label("that of bob").check()
    one.locator("[name=comment]").fill("bob is right.")
    one.get_by_role("button", name="Teacher is wrong").click()
    page.wait_for_selector(".message-success")

    item = review.items_of(iteration)[8]
    assert (item.review_state, item.person_kind) == (ReviewState.OVERRIDDEN, "teacher_wrong")
    assert item.corrected_response.text == "It was in 1969."
    assert page.locator(".conflict").count() == 1

    page.click("text=Take back")
    page.locator(".conflict").nth(1).wait_for()
    assert not Decision.objects.filter(is_resolution=True, undone_at__isnull=True).exists()


def test_a_page_that_is_out_of_date_keeps_what_was_typed(sign_in, alice, eve, iteration):
    page = sign_in(alice)
    page.goto(place(iteration, "conflicts"))
    one = page.locator(".conflict").first
    one.locator("[name=comment]").fill("My reason")
    item = review.items_of(iteration)[2]
    review.say(item, eve, "unsafe")

    one.get_by_role("button", name="Hard", exact=True).click()
    page.wait_for_selector("#conflict-failure")

    assert "changed while you looked" in page.inner_text("#conflict-failure")
    assert page.locator(".conflict").first.locator("[name=comment]").input_value() == "My reason"
    assert len(live_opinions(item)) == 2
    page.complaints.clear()  # the browser notes the refusal


def test_agreement(sign_in, alice, iteration, shoot):
    page = sign_in(alice)
    page.goto(place(iteration, "agreement"))

    assert "Cohen's kappa" in page.inner_text(".numbers")
    assert page.locator(".confusion tbody tr").count() == 3
    shoot(page, "agreement")


def test_an_admin_invites_somebody_who_chooses_a_password(
    sign_in, dora, alice, bob, iteration, shoot, browser, live_server
):
    page = sign_in(dora)
    page.goto("/people/")
    page.fill("[name=name]", "frank")
    page.select_option(".inline-form [name=role]", "annotator")
    page.get_by_role("button", name="Invite").click()
    password = page.inner_text("#one-time-password")
    shoot(page, "people")

    other = browser.new_context(base_url=live_server.url).new_page()
    other.goto("/my-reviews/")
    other.fill("[name=username]", "frank")
    other.fill("[name=password]", password)
    other.click("button[type=submit]")
    other.wait_for_url("**/password/")
    for name, value in (
        ("old_password", password),
        ("new_password1", "franks-own-one"),
        ("new_password2", "franks-own-one"),
    ):
        other.fill(f"[name={name}]", value)
    other.click("main button[type=submit]")
    other.wait_for_url("**/experiments/")
    other.context.close()

    row = page.locator(f"#person-{bob.pk}")
    row.locator("select").select_option("researcher")
    row.get_by_role("button", name="Change", exact=True).click()
    page.wait_for_selector(".message-success")
    row.get_by_role("button", name="Deactivate").click()
    page.wait_for_selector("dialog[open]")
    page.locator("dialog[open]").get_by_role("button", name="Deactivate").click()
    page.wait_for_selector("tr.inactive")
    assert (User.objects.get(pk=bob.pk).role, User.objects.get(pk=bob.pk).is_active) == ("researcher", False)


def test_a_researcher_assigns_reviewers(sign_in, alice, bob, iteration, shoot):
    page = sign_in(alice)
    page.goto(f"/experiments/{iteration.experiment_id}/reviewers/")
    page.select_option("[name=user]", label="bob (annotator)")
    page.get_by_role("button", name="Assign").click()
    page.wait_for_selector("td.name")

    assert Assignment.objects.get().user == bob
    shoot(page, "reviewers")


def test_my_reviews(sign_in, alice, bob, iteration, shoot):
    second = review.waiting_iteration(alice, name="Second student", start=20)
    assign(experiment=second.experiment, user=bob, actor=alice)
    page = sign_in(bob)
    page.goto("/my-reviews/")

    rows = page.locator(".my-reviews tbody tr")
    assert "Second student" in rows.first.inner_text()
    assert "assigned to you" in rows.first.inner_text()
    assert rows.count() == 2
    shoot(page, "my-reviews")


def test_the_audit_log_is_filtered_and_exported(sign_in, alice, bob, iteration, shoot):
    page = sign_in(alice)
    page.goto("/audit/")
    shoot(page, "audit")

    page.select_option("[name=actor]", label="bob")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**actor=**")
    assert set(page.locator(".audit td:nth-child(2)").all_inner_texts()) == {"bob"}
    page.locator(".audit summary").first.click()
    assert "verdict.decide" in page.locator(".audit .raw").first.inner_text()
    with page.expect_download() as download:
        page.click("#audit-export")
    text = download.value.path().read_text("utf-8-sig")
    assert text.startswith("id,at,actor,action")
    assert "eve" not in text


def test_the_team_panel_keeps_itself_up_to_date(sign_in, bob, alice, iteration, shoot):
    page = sign_in(bob)
    page.goto(place(iteration, "review"))
    page.wait_for_selector("#team .advice")

    assert "7 of 12 decided" in " ".join(page.inner_text("#team .team-counts").split())
    assert "People overrode" in page.inner_text("#team .advice")
    shoot(page, "review-team")

    cache.clear()
    page.keyboard.press("1")  # the panel stays while the item changes, and fetches itself later
    page.locator("#review-progress", has_text="11").wait_for()
    assert page.locator("#team .advice").count() == 1
    page.locator("#team .team-counts", has_text="20 opinions today").wait_for(timeout=25_000)
