"""Pools, instructions, gates, endpoints and workers as a person meets them."""

import json
import re

import pytest

from lionweb.models import Instruction, Pool, StageStatus
from tests import factories as make

POOL_PAGE = re.compile(r"/pools/\d+/$")
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def upload(page, content, filename="my pool.jsonl"):
    page.goto("/pools/upload/")
    page.set_input_files("input[type=file]", {"name": filename, "mimeType": "text/plain", "buffer": content})


def test_an_upload_with_bad_lines_keeps_the_file_and_goes_through_at_the_second_try(sign_in, alice, shoot):
    page = sign_in(alice)
    upload(page, b'{"instruction": "One"}\n{bad\n{"instruction": "Two"}\n')
    assert page.input_value("[name=name]") == "my pool"

    page.click("#upload-button")
    page.wait_for_selector(".outcome-lines")
    assert "1 line of the file cannot be used" in page.inner_text("#outcome")
    assert page.inner_text(".outcome-lines tbody td").strip() == "2"
    shoot(page, "upload-bad-lines")
    page.check("[name=bad_lines][value=keep]")
    page.click("#upload-button")
    page.wait_for_url(POOL_PAGE)

    assert Pool.objects.get().rows == 2
    assert "2 instructions were imported into my pool." in page.inner_text(".messages")
    shoot(page, "pool")


def test_a_file_that_is_too_large_is_refused_before_it_is_sent(sign_in, alice, settings):
    settings.UPLOAD_MAX_BYTES = 1000
    page = sign_in(alice)

    upload(page, b'{"instruction": "One"}\n' * 100)
    page.click("#upload-button")

    assert "at most 0 MB are accepted" in page.inner_text("#upload-state")
    assert not Pool.objects.exists()


def test_search_filters_and_pages_change_the_list_and_the_url(sign_in, charlie, experiment, shoot):
    page = sign_in(charlie)
    page.goto(f"/instructions/?experiment={experiment.pk}&member=cache&sort=-gap")
    assert page.locator(".browser tbody tr").count() == 24
    shoot(page, "instructions")

    with page.expect_response("**/instructions/?**"):
        page.fill("#browser-search", "sentence")
    page.wait_for_function("document.querySelectorAll('.browser tbody tr').length < 24")
    assert page.evaluate("document.activeElement.id") == "browser-search"
    page.select_option("#filter-verdict", "hard")
    page.wait_for_url("**verdict=hard**")
    assert "q=sentence" in page.url
    assert "sort=-gap" in page.url
    rows = page.locator(".browser tbody tr")
    assert 0 < rows.count() < 10
    rows.first.click()
    page.wait_for_url(f"**/instructions/*/?experiment={experiment.pk}")
    page.go_back()
    page.wait_for_selector("#browser-filters")
    assert page.input_value("#browser-search") == "sentence"


def test_choosing_an_experiment_brings_its_filters(sign_in, charlie, experiment):
    page = sign_in(charlie)
    page.goto("/instructions/")
    assert page.locator("#filter-verdict").count() == 0

    page.select_option("#filter-experiment", str(experiment.pk))

    page.wait_for_selector("#filter-verdict")
    assert page.input_value("#filter-experiment") == str(experiment.pk)


def test_the_next_page_and_back(sign_in, charlie, db):
    make.make_instructions(120)
    page = sign_in(charlie)
    page.goto("/instructions/")
    first = page.inner_text(".row-link")

    page.click("#next-page")
    page.wait_for_url("**after=**")
    assert page.inner_text(".row-link") != first
    page.click("#previous-page")
    page.wait_for_url("**before=**")

    assert page.inner_text(".row-link") == first


def test_hostile_and_right_to_left_texts_do_no_harm(sign_in, alice, shoot):
    rows = [
        {"instruction": "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"},
        {"instruction": "اكتب قصيدة قصيرة عن البحر في الليل، ثم اشرح معناها لطفل.", "language": "ar"},
        {"instruction": "x" * 19_000},
    ]
    page = sign_in(alice)
    upload(page, "\n".join(json.dumps(row) for row in rows).encode())
    page.click("#upload-button")
    page.wait_for_url(POOL_PAGE)

    page.goto("/instructions/")
    shoot(page, "instructions-odd")
    for one in Instruction.objects.all():
        page.goto(f"/instructions/{one.pk}/")
        shoot(page, f"instruction-odd-{one.pk}")

    assert "owned" not in page.title()


def test_one_instruction(sign_in, charlie, experiment, shoot):
    page = sign_in(charlie)
    page.goto(f"/instructions/{make.make_instructions(1)[0].pk}/")

    page.click("text=Raw text >> nth=0")

    assert "The first answer is more complete." in page.inner_text(".raw >> nth=0")
    shoot(page, "instruction")


def test_an_endpoint_is_added_and_checked(sign_in, alice, shoot):
    page = sign_in(alice)
    page.goto("/endpoints/add/")
    shoot(page, "endpoint-add")
    page.fill("[name=name]", "Ours")
    page.fill("[name=model]", "large-1")
    page.fill("[name=base_url]", "http://127.0.0.1:9/v1")
    page.fill("[name=api_key]", "sk-secret")
    page.click("text=Save")
    page.wait_for_url("**/endpoints/")

    page.click(".endpoint form button")
    page.wait_for_selector(".endpoint .message-error")

    assert "cannot be reached" in page.inner_text(".endpoint .message-error")
    assert "sk-secret" not in page.content()
    shoot(page, "endpoints")


def test_workers_and_queues(sign_in, charlie, experiment, shoot):
    make.make_iteration(experiment, 2, current=StageStatus.RUNNING)
    page = sign_in(charlie)
    page.goto("/workers/")

    assert "No worker serves the queue api" in page.inner_text("#workers")
    shoot(page, "workers")
