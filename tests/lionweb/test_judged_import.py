"""Judged pairs in the database: once, whole, ready for people, and never launched by accident."""

import io
import json
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from distill.errors import EndpointUnreachable, PoolError, SettingsError
from distill.judged_files import JudgedFile
from distill.settings import ExperimentSettings, PoolSettings, RefereeSettings
from lionweb.models import (
    AuditEvent,
    Classification,
    Endpoint,
    Experiment,
    Instruction,
    Pool,
    Response,
    Review,
    StageKind,
)
from lionweb.selectors.experiment import experiment_page
from lionweb.selectors.referee_health import trend
from lionweb.selectors.win_rate import win_rate_page
from lionweb.services import controls
from lionweb.services.endpoints import engine_endpoint
from lionweb.services.errors import Refused
from lionweb.services.evaluations import BadItems
from lionweb.services.experiments import create_experiment
from lionweb.services.judged import AlreadyImported, Wanted, import_judged
from lionweb.services.replays import replay
from tests import factories as make

pytestmark = pytest.mark.django_db
JUDGED = Path(__file__).resolve().parents[3] / "shared" / "data" / "judged"
needs_files = pytest.mark.skipif(
    not JUDGED.is_dir(), reason="the judged pairs are not beside the repository (../shared/data/judged)"
)


def plain(number=1, **changes):
    row = {"instruction": f"Why {number}?", "teacher": "Because it is so.", "student": "So.", "judge": "gpt-4"}
    return row | {"score_teacher": 9, "score_student": 7, "order": "teacher_first"} | changes


def do_import(rows, owner, name="Mine", **wanted):
    data = rows if isinstance(rows, bytes) else "\n".join(map(json.dumps, rows)).encode()
    files = [JudgedFile("pairs.jsonl", io.BytesIO(data))]
    return import_judged(files=files, wanted=Wanted(name=name, owner=owner, **wanted), max_instruction=20_000)


def folder(name, owner, **wanted):
    files = [JudgedFile(path.name, io.BytesIO(path.read_bytes())) for path in sorted((JUDGED / name).iterdir())]
    return import_judged(files=files, wanted=Wanted(name=name, owner=owner, **wanted), max_instruction=20_000)


def counts():
    return [one.objects.count() for one in (Instruction, Pool, Experiment, Endpoint, Response, Review, Classification)]


class TestImport:
    def test_both_orders_of_a_pair_are_one_verdict(self, alice):
        rows = [plain(), plain(order="student_first", score_teacher=7, score_student=8), plain(2, score_teacher=7)]

        made = do_import(rows, alice)

        first, second = Classification.objects.order_by("instruction__text")
        assert (first.score_teacher, first.score_student, first.gap, first.flipped) == (8, 7.5, 0.5, True)
        assert (second.gap, second.referee_verdict) == (0, "easy")
        assert (first.teacher_response.text, first.student_response.text) == ("Because it is so.", "So.")
        assert list(Review.objects.order_by("pk").values_list("order", "score_teacher", "referee")) == [
            ("teacher_first", 9, "imported:gpt-4"),
            ("student_first", 7, "imported:gpt-4"),
            ("teacher_first", 7, "imported:gpt-4"),
        ]
        assert (made.pool.rows, made.pool.entries.count(), made.memberships.count()) == (2, 2, 2)

    def test_a_preference_is_a_gap_of_probabilities_and_no_score(self, alice):
        rows = [
            plain(n, score_teacher=None, score_student=None, order="none", preference=p)
            for n, p in enumerate(("teacher", "student", "tie"))
        ]

        made = do_import(rows, alice)

        found = Classification.objects.order_by("instruction__text")
        assert [(c.gap, c.referee_verdict) for c in found] == [(1, "hard"), (-1, "easy"), (0, "easy")]
        assert {(c.score_teacher, c.score_student) for c in found} == {(None, None)}
        assert set(Review.objects.values_list("score_teacher", flat=True)) == {None}
        assert Review.objects.order_by("pk")[0].explanation == "Prefers the teacher's answer."
        assert made.settings.referee.tau == 0.5
        assert all(review.is_preference for review in Review.objects.all())

    def test_what_cannot_be_read_is_unscored(self, alice):
        do_import([plain(score_teacher=None, score_student=None, review="Hm.")], alice)

        assert not Review.objects.get().is_preference
        assert Classification.objects.get().referee_verdict == "unscored"

    def test_the_stages_until_judge_are_done_and_people_may_review(self, alice, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            made = do_import([plain(), plain(2, score_teacher=7)], alice, review="require")

        stages = dict(made.iterations.get().stages.values_list("kind", "status"))
        assert {stages[kind] for kind in ("answer", "train", "compare", "judge")} == {"succeeded"}
        assert (stages[StageKind.REVIEW], stages[StageKind.GENERATE]) == ("waiting", "pending")
        assert [c.review_state for c in Classification.objects.order_by("pk")][0] == "pending"

    def test_without_review_it_ends_at_once_and_generates_nothing(self, alice, django_capture_on_commit_callbacks):
        with django_capture_on_commit_callbacks(execute=True):
            made = do_import([plain()], alice, review="skip")

        iteration = made.iterations.get()
        assert set(iteration.stages.values_list("status", flat=True)) == {"succeeded"}
        assert iteration.finished_at is not None and not iteration.candidates.exists()

    def test_it_cannot_be_launched_and_its_endpoint_not_called(self, alice):
        made = do_import([plain()], alice)

        with pytest.raises(Refused, match="was imported"):
            controls.launch(experiment=made, actor=alice)
        with pytest.raises(EndpointUnreachable, match="nothing to call"):
            engine_endpoint(made.endpoint)

    def test_the_same_judgements_are_not_imported_twice_under_any_name_and_in_any_order(self, alice):
        rows = [plain(), plain(2)]
        made = do_import(rows, alice)
        before = counts()

        with pytest.raises(AlreadyImported, match="there already, as Mine") as caught:
            do_import(rows[::-1], alice, name="Other")
        with pytest.raises(Refused, match="is there already"):
            do_import([plain(3)], alice)

        assert (caught.value.experiment, counts()) == (made, before)

    def test_a_line_that_comes_twice_counts_once(self, alice):
        made = do_import([plain(), plain()], alice)

        assert (Review.objects.count(), made.pool.rows) == (1, 1)
        assert AuditEvent.objects.get(action="experiment.import_judged").detail["rows"] == 1

    def test_another_teacher_answer_of_an_earlier_import_stays_what_it_was(self, alice):
        do_import([plain()], alice)
        do_import([plain(teacher="Another answer.")], alice, name="Other")

        assert Instruction.objects.count() == 1
        assert set(Response.objects.filter(author_kind="teacher").values_list("text", flat=True)) == {
            "Because it is so.",
            "Another answer.",
        }

    def test_one_bad_line_and_nothing_is_imported(self, alice):
        before = counts()

        with pytest.raises(BadItems, match="1 line of the file") as caught:
            do_import([plain(), plain(2, score_teacher=11), plain(3)], alice)

        assert [problem.line for problem in caught.value.problems] == [2]
        assert counts() == before

    def test_two_answers_of_one_model_to_one_instruction_are_a_problem(self, alice):
        with pytest.raises(BadItems, match="stands in line 1 with other answers"):
            do_import([plain(), plain(student="Other.")], alice)

    @pytest.mark.parametrize("content", [b"", b"{bad", b'{"a": 1}'])
    def test_files_that_hold_nothing_are_refused(self, alice, content):
        with pytest.raises(PoolError):
            do_import(content, alice)

    def test_more_pairs_than_a_batch_keep_their_order(self, alice, monkeypatch):
        monkeypatch.setattr("lionweb.services.judged_rows.BATCH", 2)

        made = do_import([plain(n) for n in range(5)], alice)

        assert list(made.pool.entries.order_by("position").values_list("instruction__text", flat=True)) == [
            f"Why {n}?" for n in range(5)
        ]


@needs_files
class TestSharedFiles:
    def test_the_vicuna_table_is_scored_as_it_stands_there(self, alice):
        made = folder("vicuna_table", alice, judge="gpt-4")

        rows = [json.loads(line) for line in (JUDGED / "vicuna_table/review_gpt35_vicuna-13b.jsonl").open()]
        stored = Review.objects.order_by("pk").values_list("score_teacher", "score_student")
        assert list(stored) == [tuple(row["score"]) for row in rows]
        assert (made.endpoint.model, made.settings.student.base) == (
            "gpt-3.5-turbo:20230327",
            "vicuna-13b:20230322-new-hp-fp16",
        )
        assert made.pool.problems == []

    def test_the_win_rate_of_alpaca_7b_is_its_own(self, alice):
        made = folder("alpaca_eval", alice)
        rows = json.loads((JUDGED / "alpaca_eval/alpaca-7b_annotations_gpt4.json").read_text())
        own = sum({1: 0.0, 2: 1.0, 0: 0.5}[row["preference"]] for row in rows) / len(rows)

        page = win_rate_page(made.iterations.get())

        assert page.rate.value == pytest.approx(own, abs=1e-12)
        assert page.rate.low < own < page.rate.high
        assert (page.counts.n, page.counts.ties, page.counts.unparsed) == (805, 16, 0)
        for side, seen in ((1, page.counts.teacher), (2, page.counts.student)):
            texts = [row[f"output_{side}"] for row in rows]
            assert seen.characters == pytest.approx(sum(map(len, texts)) / 805)
            assert seen.words == pytest.approx(sum(len(text.split()) for text in texts) / 805, rel=0.001)
        assert page.counts.longer_share == pytest.approx(528 / 780)


class TestPages:
    def upload(self, client, rows, **changes):
        file = SimpleUploadedFile("pairs.jsonl", "\n".join(map(json.dumps, rows)).encode())
        return client.post(reverse("judged-upload"), {"pairs": [file], "name": "Mine", "review": "sample"} | changes)

    def test_a_researcher_uploads_and_lands_on_the_experiment(self, client, alice):
        client.force_login(alice)

        assert b"Import judged pairs" in client.get(reverse("judged-upload")).content
        response = self.upload(client, [plain()])

        assert response.url == reverse("experiment", args=[Experiment.objects.get().pk])
        page = client.get(response.url)
        assert page.status_code == 200
        assert reverse("experiment-win-rate", args=[Experiment.objects.get().pk]) in page.content.decode()

    def test_bad_lines_are_named_on_the_page(self, client, alice):
        client.force_login(alice)

        response = self.upload(client, [plain(), plain(2, score_teacher=99)])

        assert response.status_code == 422
        assert "score_teacher must be a number from 1 to 10" in response.content.decode()

    def test_a_second_upload_leads_to_the_first(self, client, alice):
        client.force_login(alice)
        first = self.upload(client, [plain()])

        assert self.upload(client, [plain()], name="Other").url == first.url

    def test_only_researchers_import(self, client, bob):
        client.force_login(bob)

        assert client.get(reverse("judged-upload")).status_code == 403

    def test_the_win_rate_page_shows_ties_lengths_and_what_could_not_be_read(self, client, alice, charlie):
        rows = [plain(), plain(2, score_teacher=6), plain(3, score_teacher=7), plain(4, score_teacher=None)]
        rows[3] |= {"score_student": None, "review": "?"}
        made = do_import(rows, alice)
        client.force_login(charlie)

        text = client.get(reverse("experiment-win-rate", args=[made.pk])).content.decode()

        assert "1 won, 1 tied, 1 lost" in text
        assert "50\u00a0%" in text and "17.0" in text and "3.0" in text

    def test_a_preference_is_shown_as_one_and_not_as_an_unusable_score(self, client, alice):
        do_import([plain(score_teacher=None, score_student=None, order="none", preference="teacher")], alice)
        client.force_login(alice)

        text = client.get(reverse("instruction", args=[Instruction.objects.get().pk])).content.decode()

        assert "preference, no scores" in text and "Prefers the teacher&#x27;s answer." in text
        assert "no usable score" not in text

    def test_an_iteration_that_is_not_there_is_not_found(self, client, alice):
        made = do_import([plain()], alice)
        client.force_login(alice)

        assert client.get(reverse("experiment-win-rate", args=[made.pk]) + "?iteration=2").status_code == 404

    def test_an_imported_endpoint_is_offered_nowhere(self, client, alice):
        made = do_import([plain()], alice)
        client.force_login(alice)

        for name in ("endpoints", "experiment-new"):
            assert made.endpoint.name not in client.get(reverse(name)).content.decode()


class TestCommand:
    def test_it_imports_once(self, alice, tmp_path, capsys):
        (tmp_path / "pairs.jsonl").write_text(json.dumps(plain()))

        call_command("import-judged", tmp_path, name="Mine")
        call_command("import-judged", tmp_path / "pairs.jsonl", name="Again")

        out = capsys.readouterr().out
        assert "1 pairs imported" in out and "there already, as Mine" in out
        assert Experiment.objects.get().owner == alice

    def test_it_names_bad_lines_and_missing_paths(self, alice, tmp_path, capsys):
        (tmp_path / "pairs.jsonl").write_text(json.dumps(plain()) + "\n{bad\n")

        with pytest.raises(CommandError, match="1 line"):
            call_command("import-judged", tmp_path, name="Mine")
        with pytest.raises(CommandError, match="is not there"):
            call_command("import-judged", tmp_path / "none", name="Mine")
        with pytest.raises(CommandError, match="no account named zoe"):
            call_command("import-judged", tmp_path, name="Mine", owner="zoe")
        assert "line 2: The line is not JSON" in capsys.readouterr().err


def test_a_replay_of_preferences_keeps_their_gaps(alice, monkeypatch):
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)
    rows = [
        plain(n, score_teacher=None, score_student=None, order="none", preference=p)
        for n, p in enumerate(("teacher", "student", "tie"))
    ]
    made = do_import(rows, alice)

    branch = replay(iteration=made.iterations.get(), actor=alice, name="Branch", tau=-0.5)

    found = Classification.objects.filter(iteration__experiment=branch).order_by("instruction__text")
    assert [(c.gap, c.referee_verdict) for c in found] == [(1, "hard"), (-1, "easy"), (0, "hard")]


def test_no_further_iteration_of_an_import_is_offered(client, alice):
    made = do_import([plain()], alice)
    client.force_login(alice)

    assert not experiment_page(made.pk).controls.launch
    assert not experiment_page(made.pk).controls.queue_more
    assert 'id="queue-more"' not in client.get(f"/experiments/{made.pk}/").content.decode()


def test_equal_preferences_are_ties(alice):
    rows = [
        plain(n, score_teacher=None, score_student=None, order="none", preference=p)
        for n, p in enumerate(("teacher", "tie"))
    ]
    made = do_import(rows, alice)

    assert trend(made)[0].ties.value == 0.5


def test_no_other_experiment_may_be_made_as_imported(alice):
    with pytest.raises(SettingsError, match=r"referee\.mode"):
        create_experiment(
            owner=alice,
            name="x",
            endpoint=make.make_endpoint(),
            pool=make.make_pool(rows=20),
            heldout_pool=None,
            settings=ExperimentSettings(referee=RefereeSettings(mode="imported"), pools=PoolSettings(heldout=2)),
        )
