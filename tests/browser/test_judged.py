"""Judged pairs in Chromium: the upload of several files, the experiment they become, and its win rate."""

import json

import pytest
from django.core.cache import cache

from tests.browser.axe import violations

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    cache.clear()
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


@pytest.fixture
def files(tmp_path):
    """A table of FastChat's form with twelve questions."""
    numbers = range(12)
    rows = {
        "question": [{"question_id": n, "text": f"Why is {n} a number?", "category": "knowledge"} for n in numbers],
        "answer_big": [
            {"answer_id": f"b{n}", "question_id": n, "model_id": "big", "text": f"Because {n} counts things. " * 3}
            for n in numbers
        ],
        "answer_small": [
            {"answer_id": f"s{n}", "question_id": n, "model_id": "small", "text": f"It is {n}. " * (1 + n % 7)}
            for n in numbers
        ],
        "review": [
            {
                "question_id": n,
                "answer1_id": f"b{n}",
                "answer2_id": f"s{n}",
                "reviewer_id": 1,
                "text": f"8 {4 + n % 6}\nSo.",
            }
            for n in numbers
        ],
    }
    paths = []
    for name, lines in rows.items():
        paths.append(tmp_path / f"{name}.jsonl")
        paths[-1].write_text("\n".join(map(json.dumps, lines)))
    return paths


def test_several_files_are_uploaded_together_and_become_an_experiment_to_review(sign_in, shoot, alice, files):
    page = sign_in(alice)
    page.goto("/judged/upload/")
    shoot(page, "judged-upload")
    page.set_input_files("input[type=file]", files)
    page.get_by_label("Name").fill("Big against small")
    page.get_by_label("Everything hard").check()
    page.get_by_role("button", name="Import").click()

    page.wait_for_url("**/experiments/*/")
    assert "12 judged pairs were imported" in page.content()
    page.get_by_role("link", name="Win rate and lengths").click()

    page.wait_for_url("**/win-rate/**")
    assert "2 won, 2 tied, 8 lost" in page.content()
    shoot(page, "win-rate")


def test_the_imported_pairs_stand_in_the_review_queue(sign_in, alice, files):
    page = sign_in(alice)
    page.goto("/judged/upload/")
    page.set_input_files("input[type=file]", files)
    page.get_by_label("Name").fill("Big against small")
    page.get_by_label("Everything hard").check()
    page.get_by_role("button", name="Import").click()
    page.wait_for_url("**/experiments/*/")

    page.goto(f"{page.url}iterations/1/review/")

    assert "Why is" in page.content() and "big" not in page.locator("h1").inner_text()
    assert "8.0" in page.content()


def test_the_pages_have_no_accessibility_violation(sign_in, alice, files):
    page = sign_in(alice)
    page.goto("/judged/upload/")
    assert violations(page) == []
    page.set_input_files("input[type=file]", files)
    page.get_by_label("Name").fill("Big against small")
    page.get_by_role("button", name="Import").click()
    page.wait_for_url("**/experiments/*/")
    page.get_by_role("link", name="Win rate and lengths").click()
    page.wait_for_url("**/win-rate/**")

    assert violations(page) == []
