"""The pool browser as a researcher uses it: filter, choose columns, select with Shift, change many at once, take it back."""

import pytest
from django.utils import timezone

from lionweb.models import BulkJob, BulkStatus, Instruction, SavedView
from lionweb.services.bulk_work import work_on
from tests import factories as make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def experiment(alice):
    made = make.make_experiment(alice, pool=make.make_pool(rows=60))
    iteration = make.finish_iteration(made)
    iteration.classifications.filter(pool="cache", verdict="hard").update(for_review=True, review_state="pending")
    return made


def test_filter_columns_selection_bulk_edit_and_undo(sign_in, alice, experiment, shoot):
    page = sign_in(alice)
    page.goto(f"/instructions/?experiment={experiment.pk}")

    page.click("#filter-more > summary")
    page.fill("#filter-gap-from", "1")
    page.press("#filter-gap-from", "Tab")
    page.wait_for_url("**gap_from=1**")
    page.click("#columns-menu")
    page.locator("[name=cols][value=teacher]").check()
    page.wait_for_url("**cols=**teacher**")
    assert page.locator("th.col-teacher").count() == 1
    page.select_option("#browser-sort", "-gap")
    page.wait_for_url("**sort=-gap**")
    shoot(page, "pool-browser")

    picks = page.locator(".pick")
    count = picks.count()
    assert count > 5
    picks.nth(1).click()
    picks.nth(4).click(modifiers=["Shift"])
    assert page.locator(".pick:checked").count() == 4
    assert page.inner_text("#bulk-count") == "4 selected, or"
    chosen = [int(picks.nth(place).input_value()) for place in range(1, 5)]
    before = {one.pk: one.category for one in Instruction.objects.all()}
    page.fill("#bulk-value", "Chosen ones")
    shoot(page, "pool-browser-selected")

    page.click("#bulk-start")
    page.wait_for_selector(".bulk-job")
    assert page.locator(".pick:checked").count() == 0
    shoot(page, "pool-browser-running")
    job = BulkJob.objects.get()
    work_on(job.pk)
    page.wait_for_selector(".bulk-job >> text=Undo")
    page.wait_for_selector("td.col-category >> text=Chosen ones")
    assert set(Instruction.objects.filter(category="Chosen ones").values_list("pk", flat=True)) == set(chosen)
    assert "gap_from=1" in page.url

    page.click(".bulk-job >> text=Undo")
    page.wait_for_selector(".bulk-job >> text=being undone")
    work_on(job.pk)
    page.wait_for_selector(".bulk-job .pill >> text=/^undone$/")
    page.wait_for_selector("td.col-category >> text=Chosen ones", state="detached")

    assert {one.pk: one.category for one in Instruction.objects.all()} == before
    job.refresh_from_db()
    assert job.status == BulkStatus.UNDONE


def test_all_that_match_are_deleted_and_restored_from_the_list(sign_in, alice, db, shoot):
    make.make_instructions(70)
    english = Instruction.objects.filter(language="en").count()
    page = sign_in(alice)
    page.goto("/instructions/?language=en")

    page.check("#pick-all")
    page.check("#bulk-all")
    assert english > 50
    assert f"all {english} that match" in page.inner_text("#bulk")
    page.select_option("#bulk-action", "delete")
    assert page.locator("#bulk-value").is_hidden()
    page.click("#bulk-start")
    page.wait_for_selector(".bulk-job")
    work_on(BulkJob.objects.get().pk)
    page.wait_for_selector(".empty")
    shoot(page, "pool-browser-empty")

    assert Instruction.objects.filter(deleted_at__lte=timezone.now(), deleted_by=alice).count() == english


def test_a_view_is_saved_shared_and_opened(sign_in, alice, experiment):
    page = sign_in(alice)
    page.goto(f"/instructions/?experiment={experiment.pk}&verdict=hard&cols=gap")
    page.click("#save-view")
    page.fill(".menu-form [name=name]", "Hard ones")
    page.check(".menu-form [name=shared]")
    page.click(".menu-form button")
    page.wait_for_selector(".messages")

    page.goto("/instructions/")
    page.click("#views-menu")
    page.click("text=Hard ones")
    page.wait_for_url("**verdict=hard**")

    assert SavedView.objects.get().shared
    assert page.locator("th.col-gap").count() == 1
    assert page.locator("th.col-category").count() == 0
