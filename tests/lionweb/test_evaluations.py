"""Evaluation sets: import with clear errors, the page, removal, and the command."""

import io
import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from distill.errors import PoolError
from lionweb.models import AuditEvent, EvaluationItem, EvaluationSet, Role, User
from lionweb.services.errors import Refused
from lionweb.services.evaluations import BadItems, import_evaluation_set
from tests.lionweb.leak_cases import know

pytestmark = pytest.mark.django_db


@pytest.fixture
def dora(db):
    """An admin."""
    return User.objects.create_user("dora", "dora@example.org", "dora-password", role=Role.ADMIN)


def do_import(content, name="Mine", filename="set.jsonl"):
    return import_evaluation_set(stream=io.BytesIO(content), filename=filename, name=name, actor=None)


class TestImport:
    def test_items_are_kept_in_order_with_all_they_say(self, alice):
        row = {"passage": "P", "question": "Q?", "options": ["(A)x"], "label": "A", "category": "c"}

        made = do_import((json.dumps(row) + "\n" + json.dumps({"question": "Z?", "options": ["a"]})).encode())

        first, second = made.rows.order_by("position")
        assert (made.items, made.kind) == (2, "choice")
        assert (first.text, first.choices, first.target, first.extra) == ("P\n\nQ?", ["(A)x"], "A", {"passage": "P"})
        assert (first.category, first.answer, second.key) == ("c", None, "2")
        assert AuditEvent.objects.get(action="evaluation_set.import").detail["items"] == 2

    def test_one_bad_line_and_nothing_is_imported(self):
        with pytest.raises(BadItems, match=r"1 line of the file.*Line 2: The line is not JSON") as caught:
            do_import(b'{"question": "x"}\n{bad\n')

        assert [problem.line for problem in caught.value.problems] == [2]
        assert not EvaluationSet.objects.exists()

    def test_a_file_without_items_is_refused(self):
        with pytest.raises(PoolError, match="holds no item"):
            do_import(b"")

    @pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\x00"])
    def test_a_name_that_is_none_is_refused(self, name):
        with pytest.raises(Refused, match="needs a name"):
            do_import(b'{"question": "x"}', name=name)

    def test_a_name_that_is_taken_is_refused(self):
        do_import(b'{"question": "x"}')
        with pytest.raises(Refused, match="is there already"):
            do_import(b'{"question": "y"}')

    def test_many_items_go_in_portions(self, monkeypatch):
        monkeypatch.setattr("lionweb.services.evaluations.BATCH", 3)

        assert know([f"Question {n}" for n in range(8)]).items == EvaluationItem.objects.count() == 8


class TestPage:
    def test_everyone_sees_the_sets_and_hostile_names_are_escaped(self, client, charlie):
        know(["x"], name="<script>alert(1)</script>")
        client.force_login(charlie)

        page = client.get("/evaluations/").content.decode()

        assert "&lt;script&gt;alert(1)" in page
        assert "<script>alert" not in page
        assert "Upload a set" not in page
        assert "/remove/" not in page

    def test_an_empty_page_says_what_to_do(self, client, alice):
        client.force_login(alice)

        assert "Upload the first set" in client.get("/evaluations/").content.decode()

    def test_a_researcher_uploads_a_file(self, client, alice):
        client.force_login(alice)
        file = SimpleUploadedFile("vicuna.jsonl", b'{"question_id": 1, "turns": ["How?"]}')

        answer = client.post("/evaluations/upload/", {"file": file, "name": "Vicuna"}, follow=True)

        assert "1 item was imported as Vicuna" in answer.content.decode()
        assert EvaluationSet.objects.get().created_by == alice

    def test_a_bad_file_comes_back_with_its_lines(self, client, alice):
        client.force_login(alice)
        file = SimpleUploadedFile("bad.jsonl", b'{"question": "x"}\n{"answer": "y"}')

        answer = client.post("/evaluations/upload/", {"file": file, "name": "Bad"})

        assert answer.status_code == 422
        assert "has no question" in answer.content.decode()

    def test_a_form_without_a_file_says_so(self, client, alice):
        client.force_login(alice)

        answer = client.post("/evaluations/upload/", {"name": "Bad"})

        assert (answer.status_code, "Choose a file." in answer.content.decode()) == (422, True)

    def test_a_file_over_the_limit_is_refused_unread(self, client, alice, settings):
        settings.UPLOAD_MAX_BYTES = 10
        client.force_login(alice)

        assert client.post("/evaluations/upload/", {"name": "x" * 50}).status_code == 413

    def test_an_annotator_may_not_upload(self, client, bob):
        client.force_login(bob)

        assert client.get("/evaluations/upload/").status_code == 403

    def test_only_an_admin_removes_a_set(self, client, alice, dora):
        made = know(["x"])
        client.force_login(alice)
        assert client.post(f"/evaluations/{made.pk}/remove/").status_code == 403
        client.force_login(dora)

        client.post(f"/evaluations/{made.pk}/remove/")

        assert not EvaluationSet.objects.exists()
        assert AuditEvent.objects.get(action="evaluation_set.remove").actor == dora


class TestCommand:
    def test_a_folder_is_imported_with_the_paths_as_names(self, tmp_path, capsys):
        (tmp_path / "bbh").mkdir()
        (tmp_path / "bbh" / "navigate.json").write_text('{"examples": [{"input": "a", "target": "b"}]}')
        (tmp_path / "vicuna.jsonl").write_text('{"question_id": 1, "turns": ["How?"]}')
        (tmp_path / "notes.txt").write_text("not a set")

        call_command("import-evaluations", str(tmp_path))
        call_command("import-evaluations", str(tmp_path))

        assert sorted(EvaluationSet.objects.values_list("name", flat=True)) == ["bbh/navigate", "vicuna"]
        assert "vicuna is there already." in capsys.readouterr().out

    def test_bad_files_are_named_by_line_and_the_others_are_imported(self, tmp_path, capsys):
        (tmp_path / "bad.jsonl").write_text('{"question": "x"}\n{bad')
        (tmp_path / "good.jsonl").write_text('{"question": "x"}')

        with pytest.raises(CommandError, match="1 file could not be imported"):
            call_command("import-evaluations", str(tmp_path))

        assert "bad.jsonl, line 2" in capsys.readouterr().err
        assert EvaluationSet.objects.get().name == "good"

    def test_a_path_that_is_not_there_is_named(self, tmp_path):
        with pytest.raises(CommandError, match="is not there"):
            call_command("import-evaluations", str(tmp_path / "gone"))
