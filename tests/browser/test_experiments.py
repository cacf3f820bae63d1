"""The experiments pages in a real browser."""

import pytest

from lionweb.models import Experiment, PoolKind, StageEvent, StageKind, StageStatus
from lionweb.services.transitions import log, transition
from tests import factories as make

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def failed(owner):
    error = {
        "code": "key_rejected",
        "cause": "The endpoint rejected the key (401).",
        "advice": "Enter a valid key for Bundled teacher, then retry: what was answered is kept.",
    }
    experiment = make.make_experiment(owner, "Ablation, tau 1.5")
    iteration = make.make_iteration(experiment, done=3, current="failed", error=error)
    iteration.stages.filter(kind="judge").update(done=11, failed_items=3)
    return experiment


def running(owner, name="Small student"):
    experiment = make.make_experiment(owner, name)
    make.finish_iteration(experiment, 1)
    iteration = make.make_iteration(experiment, 2, done=1, current="running", total=60, phase="Epoch 2 of 3")
    train = make.stage_of(iteration, StageKind.TRAIN)
    make.add_metrics(train, steps=31, first=1.5, last=1.2)
    iteration.stages.filter(pk=train.pk).update(done=31)
    log(stage=train, message="Warm start from checkpoint 1; 40 examples, 9,812 tokens.")
    experiment.planned_iterations = 3
    experiment.save()
    return experiment


def test_sign_in_with_a_wrong_and_then_the_right_password(page, alice, shoot):
    page.goto("/experiments/")
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    assert "do not fit together" in page.get_by_role("alert").inner_text()
    shoot(page, "sign-in")
    page.get_by_label("Password").fill("alice-password")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="No experiment yet").wait_for()
    shoot(page, "experiments-empty")
    page.get_by_text("alice").first.click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/")


def test_the_list_follows_a_running_experiment_without_reload(page, sign_in, alice, shoot):
    running(alice)
    failed(alice)
    make.make_experiment(alice, "Draft with the paper's settings")
    make.make_iteration(make.make_experiment(alice, "German instructions"), done=4, current="waiting")
    done = make.make_experiment(alice, "Demo")
    for number in (1, 2, 3):
        make.finish_iteration(done, number)
    make.make_iteration(make.make_experiment(alice, "Stopped"), done=2, current="paused")
    sign_in(alice).goto("/experiments/?sort=name")
    row = page.get_by_role("row", name="Small student")
    assert "train 2 of 7" in row.inner_text()
    shoot(page, "experiments")
    train = StageEvent.objects.filter(stage__kind="train", stage__status="running").first().stage
    transition(stage=train, to=StageStatus.SUCCEEDED)
    page.get_by_text("queued", exact=True).first.wait_for(timeout=10_000)
    assert page.url.endswith("?sort=name")


def test_a_form_with_errors_keeps_its_input_and_leads_to_the_fields(page, sign_in, alice, shoot):
    make.make_endpoint()
    make.make_pool(rows=240)
    make.make_pool("Sample held-out", rows=60, kind=PoolKind.HELDOUT, start=240)
    sign_in(alice).goto("/experiments/new/")
    shoot(page, "new-experiment")
    page.get_by_role("link", name="LoRA on one 24 GB GPU").click()
    assert page.get_by_label("Base model").input_value() == "Qwen/Qwen2.5-3B"
    page.get_by_label("Epochs").fill("0")
    page.get_by_label("Name", exact=True).fill("First try")
    page.get_by_role("button", name="Create and launch").click()
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "must be between 1 and 100" in alert.inner_text()
    assert page.get_by_label("Name", exact=True).input_value() == "First try"
    shoot(page, "new-experiment-errors")
    page.complaints.clear()  # the browser reports an answer of 422 as a failed load, as it should
    alert.get_by_role("link", name="Epochs").click()
    assert page.evaluate("document.activeElement.id") == "id_training__epochs"
    page.get_by_label("Epochs").fill("2")
    page.get_by_role("button", name="Create as draft").click()
    page.get_by_role("heading", name="First try").wait_for()
    assert Experiment.objects.get().settings.training.epochs == 2
    shoot(page, "experiment-draft")


def test_the_summary_counts_again_when_a_value_changes(page, sign_in, alice):
    make.make_endpoint()
    make.make_pool(rows=240)
    sign_in(alice).goto("/experiments/new/")
    page.get_by_label("New from hard").fill("100")
    page.locator("#estimate").get_by_role("row", name="Generated 157").wait_for(timeout=5000)
    page.get_by_label("Train Pool, first size").fill("99999")
    page.locator("#estimate").get_by_text("large enough").wait_for(timeout=5000)


def test_the_page_of_a_running_experiment_moves_and_stops_with_it(page, sign_in, alice, shoot):
    experiment = running(alice)
    sign_in(alice).goto(f"/experiments/{experiment.pk}/")
    page.locator('[data-chart="loss"] .main-svg').first.wait_for(timeout=15_000)
    page.get_by_text("Warm start from checkpoint 1").wait_for()
    shoot(page, "experiment-running")
    stages = experiment.iterations.get(number=2).stages
    train = stages.get(kind="train")
    stages.filter(pk=train.pk).update(done=60)
    transition(stage=train, to=StageStatus.SUCCEEDED, message="60 steps, loss 1.21.")
    page.get_by_text("60 steps, loss 1.21.").wait_for(timeout=10_000)
    page.locator("#live").get_by_text("queued").first.wait_for(timeout=10_000)
    transition(stage=stages.get(kind="compare"), to=StageStatus.CANCELLED)
    page.locator("#live:not([hx-trigger])").wait_for(timeout=10_000)
    assert page.locator("#log-tail").count() == 0


def test_charts_follow_new_points_and_the_threshold_can_be_tried(page, sign_in, alice):
    experiment = running(alice)
    sign_in(alice).goto(f"/experiments/{experiment.pk}/?iteration=1")
    page.locator('[data-chart="gaps"] .main-svg').first.wait_for(timeout=15_000)
    assert page.locator("#tau-result").inner_text() == "At 1.00: 9 hard, 13 easy"
    page.locator("#tau-slider").fill("-9")
    page.locator("#tau-slider").press("Home")
    assert "22 hard, 0 easy" in page.locator("#tau-result").inner_text()
    drawn = page.locator('[data-chart="loss"]').get_attribute("aria-label")
    assert "at step 60" in drawn


def test_a_failure_shows_its_box_and_a_finished_experiment_its_numbers(page, sign_in, alice, shoot):
    experiment = failed(alice)
    sign_in(alice).goto(f"/experiments/{experiment.pk}/")
    box = page.locator(".failure")
    assert "The endpoint rejected the key" in box.inner_text()
    assert box.get_by_role("button", name="Retry judge").is_visible()
    shoot(page, "experiment-failed")
    done = make.make_experiment(alice, "Demo")
    for number in (1, 2, 3):
        make.finish_iteration(done, number)
    page.goto(f"/experiments/{done.pk}/")
    page.locator('[data-chart="trend_hard"] .main-svg').first.wait_for(timeout=15_000)
    shoot(page, "experiment-finished")


def test_cancelling_asks_first_and_keeping_it_changes_nothing(page, sign_in, alice):
    experiment = running(alice)
    sign_in(alice).goto(f"/experiments/{experiment.pk}/")
    page.locator("#cancel").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Keep it running").click()
    assert not dialog.is_visible()
    assert experiment.iterations.get(number=2).stages.get(kind="train").status == "running"
    page.locator("#cancel").click()
    dialog.get_by_role("button", name="Cancel the experiment").click()
    page.locator("#resume").wait_for()
    assert experiment.iterations.get(number=2).stages.get(kind="train").status == "cancelled"


def test_a_viewer_gets_the_403_page_on_a_form_that_is_not_theirs(page, sign_in, alice, charlie, shoot):
    sign_in(charlie).goto("/experiments/new/")
    assert "needs the role researcher" in page.inner_text("main")
    shoot(page, "error-403")
    page.goto("/experiments/4711/")
    assert "not here" in page.inner_text("main")
    page.complaints.clear()  # the browser reports both answers as failed loads, as it should


def test_the_theme_is_kept_and_the_keyboard_reaches_the_content_first(page, sign_in, alice):
    sign_in(alice).goto("/experiments/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    switch = page.locator("[data-theme-switch]")
    for expected in ("light", "dark"):
        switch.click()
        assert page.locator("html").get_attribute("data-bs-theme") == expected
    page.reload()
    assert page.locator("html").get_attribute("data-bs-theme") == "dark"


def test_at_400_percent_zoom_nothing_is_cut_off(page, sign_in, alice):
    experiment = running(alice)
    sign_in(alice)
    page.set_viewport_size({"width": 320, "height": 256})  # 1280 x 1024 at 400 %
    for path in ("/experiments/", f"/experiments/{experiment.pk}/", "/experiments/new/"):
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, path
