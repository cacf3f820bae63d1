"""The list of pools, one pool, and the upload form."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from lionweb.models import Instruction, Pool, PoolKind
from tests import factories as make

UPLOAD = "/pools/upload/"
GOOD = b'{"instruction": "Name three rivers."}\n{"instruction": "Name three lakes."}\n'


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


def form(content=GOOD, filename="mine.jsonl", **changes):
    file = SimpleUploadedFile(filename, content)
    return {"file": file, "name": "Mine", "kind": "seed", "bad_lines": "nothing"} | changes


def text(answer):
    return answer.content.decode()


class TestList:
    def test_without_pools_a_researcher_is_led_to_the_upload(self, researcher):
        assert "Upload the first pool" in text(researcher.get("/pools/"))

    def test_without_pools_a_viewer_is_not_offered_what_he_may_not_do(self, client, charlie):
        client.force_login(charlie)

        page = text(client.get("/pools/"))

        assert "No pool yet" in page
        assert UPLOAD not in page

    def test_it_shows_kind_rows_shares_and_use(self, researcher, alice):
        make.make_experiment(alice, pool=make.make_pool("First", rows=40))
        make.make_pool("Second", rows=5, kind=PoolKind.HELDOUT, start=50, problem_count=3)

        rows = {row.pool.name: row for row in researcher.get("/pools/").context["rows"]}

        assert (rows["First"].experiments, rows["Second"].experiments) == (1, 0)
        assert sum(share.count for share in rows["First"].shape.categories) == 40
        assert rows["First"].shape.languages[0].name == "en"
        assert rows["Second"].pool.problem_count == 3

    def test_use_as_held_out_set_counts_too(self, researcher, alice):
        heldout = make.make_pool("Held", rows=5, kind=PoolKind.HELDOUT, start=50)
        make.make_experiment(alice, pool=make.make_pool("First"), heldout_pool=heldout)

        rows = {row.pool.name: row for row in researcher.get("/pools/").context["rows"]}

        assert rows["Held"].experiments == 1

    def test_the_number_of_queries_does_not_grow_with_the_pools(self, researcher, django_assert_max_num_queries):
        for number in range(12):
            make.make_pool(f"Pool {number}", rows=3, start=number * 3)

        with django_assert_max_num_queries(6):
            researcher.get("/pools/")

    def test_a_hostile_name_is_shown_as_text(self, researcher):
        make.make_pool("<script>alert(1)</script>", rows=1)

        page = text(researcher.get("/pools/"))

        assert "<script>alert(1)" not in page
        assert "&lt;script&gt;alert(1)" in page

    def test_outsiders_are_sent_to_sign_in(self, client, db):
        assert client.get("/pools/")["Location"].startswith("/sign-in/")


class TestPool:
    def test_it_lists_the_lines_that_were_left_out(self, researcher):
        problems = [
            {"line": 0, "message": "3 repeated rows were merged.", "kind": "remark"},
            {"line": 12_345, "message": "The line is not JSON: <b>.", "kind": "bad_json"},
        ]
        pool = make.make_pool(rows=3, problems=problems, problem_count=900)

        page = text(researcher.get(f"/pools/{pool.pk}/"))

        assert "12,345" in page
        assert "not JSON: &lt;b&gt;" in page
        assert "The first 1 of 900" in page
        assert "3 repeated rows were merged." in page

    def test_it_names_the_experiments_that_use_it(self, researcher, alice):
        pool = make.make_pool(rows=40)
        make.make_experiment(alice, pool=pool, name="Uses it")

        assert "Uses it" in text(researcher.get(f"/pools/{pool.pk}/"))

    def test_an_unknown_pool_is_not_found(self, researcher):
        assert researcher.get("/pools/999999/").status_code == 404


class TestUpload:
    def test_a_good_file_leads_to_its_pool(self, researcher):
        answer = researcher.post(UPLOAD, form(), follow=True)

        pool = Pool.objects.get()
        assert answer.redirect_chain == [(f"/pools/{pool.pk}/", 302)]
        assert "2 instructions were imported into Mine." in text(answer)
        assert (pool.filename, pool.created_by.username) == ("mine.jsonl", "alice")

    def test_with_htmx_it_leads_there_too(self, researcher):
        answer = researcher.post(UPLOAD, form(), headers={"HX-Request": "true"})

        assert answer["HX-Redirect"] == f"/pools/{Pool.objects.get().pk}/"

    @pytest.mark.parametrize("person", ["bob", "charlie"])
    def test_only_researchers_may_upload(self, client, request, person):
        client.force_login(request.getfixturevalue(person))

        assert client.get(UPLOAD).status_code == 403
        assert client.post(UPLOAD, form()).status_code == 403
        assert not Pool.objects.exists()

    def test_it_needs_the_token_of_the_form(self, alice):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(alice)

        assert strict.post(UPLOAD, form()).status_code == 403
        assert not Pool.objects.exists()

    def test_bad_lines_stand_in_a_table_and_the_choices_are_kept(self, researcher):
        bad = form(GOOD + b"{bad\n" + b'{"instruction": 7}\n', kind="heldout")

        answer = researcher.post(UPLOAD, bad)

        page = text(answer)
        assert answer.status_code == 422
        assert "2 lines of the file cannot be used, so nothing was imported." in page
        assert '<td class="number">3</td>' in page
        assert '<td class="number">4</td>' in page
        assert 'value="Mine"' in page
        assert (
            'value="heldout" id="id_kind_1" required checked' in page or 'value="heldout"' in page.split("checked")[0]
        )
        assert not Pool.objects.exists()

    def test_with_htmx_only_the_outcome_is_answered_so_that_the_file_stays_chosen(self, researcher):
        answer = researcher.post(UPLOAD, form(GOOD + b"{bad\n"), headers={"HX-Request": "true"})

        page = text(answer)
        assert answer.status_code == 200
        assert page.strip().startswith('<div id="outcome"')
        assert "<form" not in page

    def test_the_good_lines_are_kept_if_chosen(self, researcher):
        answer = researcher.post(UPLOAD, form(GOOD + b"{bad\n", bad_lines="keep"), follow=True)

        assert Pool.objects.get().rows == 2
        assert "Lines that were left out" in text(answer)

    @pytest.mark.parametrize(
        ("content", "filename", "message"),
        [
            (b"", "empty.jsonl", "is empty"),
            ('{"instruction": "a"}'.encode("utf-16"), "wide.jsonl", "UTF-16"),
            (b'{"instruction": "caf\xe9"}', "latin.jsonl", "UTF-8"),
            (GOOD, "pool.docx", "is no pool file"),
            (json.dumps({"instruction": "x" * 100_000}).encode(), "long.jsonl", "100,000 characters long"),
            (b'{"instruction": "a\\u0000b"}', "zero.jsonl", "U+0000"),
        ],
    )
    def test_what_is_wrong_with_the_file_is_said(self, researcher, content, filename, message):
        answer = researcher.post(UPLOAD, form(content, filename))

        assert answer.status_code == 422
        assert message in text(answer)
        assert not Instruction.objects.exists()

    def test_a_taken_name_is_said_and_the_other_pool_stays(self, researcher):
        make.make_pool("Mine", rows=3)

        answer = researcher.post(UPLOAD, form())

        assert answer.status_code == 422
        assert "is there already" in text(answer)
        assert Pool.objects.get().rows == 3

    def test_without_a_file_it_says_so(self, researcher):
        answer = researcher.post(UPLOAD, {"name": "Mine", "kind": "seed", "bad_lines": "keep"})

        assert answer.status_code == 422
        assert "Choose a file." in text(answer)

    def test_a_file_over_the_limit_is_refused_before_it_is_read(self, researcher, settings):
        settings.UPLOAD_MAX_BYTES = 100

        answer = researcher.post(UPLOAD, form(GOOD * 10))

        assert answer.status_code == 413
        assert "larger than 100 bytes" in text(answer)
        assert not Pool.objects.exists()

    def test_a_hostile_file_name_is_shown_as_text_and_reaches_no_path(self, researcher):
        answer = researcher.post(UPLOAD, form(filename="../../<img src=x>.jsonl"), follow=True)

        assert "<img src=x>" not in text(answer)
        assert "/" not in Pool.objects.get().filename
