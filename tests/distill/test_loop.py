"""The loop from files, with a teacher in a thread and a student that is played: what is done, kept and not done again."""

import errno
import fcntl
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from distill.__main__ import main
from distill.errors import ModelLoadError, TrainingError
from distill.length_adjustment import fitted_slope, length_difference
from distill.loop import answers, reviews, training
from distill.loop.journal import Journal
from distill.presets import PRESETS
from distill.settings import TrainingSettings
from tests.distill.fake_teacher import fake_teacher, number_of, purpose_of, reply_to, words_of
from tests.mock_server import completion, refusal

POOL, HELDOUT, HARD, EASY = 12, 4, 3, 2
RESULT_KEYS = {
    "experiment", "teacher", "student", "iterations", "status", "heldout_loss_before", "heldout_loss_after",
    "heldout_gap_before", "heldout_gap_after", "hard", "easy", "unscored", "generated", "accepted", "rejected",
    "seconds", "paid_calls", "tokens", "cost_usd", "per_iteration",
}  # fmt: skip


class Student:
    """Plays training and inference. `fail_once` names what raises the first time: train, answer or likelihood."""

    def __init__(self, fail_once=""):
        self.fail_once = fail_once
        self.jobs, self.trained_on, self.headers, self.answered = [], [], [], []

    def train(self, job, *, on_event, should_stop):
        self._perhaps_fail("train", TrainingError("The student would not learn.", "Try again."))
        self.jobs.append(job)
        self.trained_on.append(rows_of(Path(job.train_file)))
        Path(job.output).mkdir(parents=True)
        on_event({"event": "start", "examples": len(self.trained_on[-1]), "steps": 1, "resumed_from_step": 0})
        on_event({"event": "heldout", "when": "before", "loss": 3.0 / len(self.jobs), "tokens": 9})
        on_event({"event": "metric", "step": 1, "name": "loss", "value": 2.0})
        on_event({"event": "progress", "step": 1, "steps": 1})
        on_event({"event": "heldout", "when": "after", "loss": 1.5 / len(self.jobs), "tokens": 9})
        sha256 = hashlib.sha256(Path(job.train_file).read_bytes()).hexdigest()
        on_event({"event": "done", "checkpoint": job.output, "sha256": sha256, "manifest": {}})

    def inference(self, header):
        self.headers.append(header)
        return Inference(self, header)

    def _perhaps_fail(self, what, error):
        if self.fail_once == what:
            self.fail_once = ""
            raise error


class Inference:
    def __init__(self, student, header):
        self.student, self.header = student, header

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def run(self, items, *, should_stop):
        for at, item in enumerate(items):
            if at == 2:
                self.student._perhaps_fail(self.header["op"], ModelLoadError("The process died.", "Try again."))
            self.student.answered.append((self.header["op"], self.header["adapter"], item["key"]))
            yield self._row(item)

    def _row(self, item):
        if self.header["op"] == "answer":
            who = Path(self.header["adapter"] or "base").name
            text = f"Student says {words_of(who + item['text'], 5)}"
            return {"key": item["key"], "text": text, "finish": "stop", "prompt_tokens": 3, "completion_tokens": 7}
        scores = {"score_teacher": 9.0, "score_student": 1 + number_of(item["student_response"], 9)}
        return {"key": item["key"], "order": "none", "raw": "", "explanation": "", **scores}


@pytest.fixture
def student(monkeypatch):
    return play(monkeypatch, Student())


def play(monkeypatch, student):
    monkeypatch.setattr(training, "run_training", student.train)
    monkeypatch.setattr(answers, "InferenceProcess", student.inference)
    monkeypatch.setattr(reviews, "InferenceProcess", student.inference)
    return student


@pytest.fixture
def pool(tmp_path):
    rows = [{"instruction": f"Tell me about {words_of(f'pool {n}', 4)}.", "language": "en"} for n in range(POOL)]
    return write_lines(tmp_path / "pool.jsonl", rows)


@pytest.fixture
def heldout(tmp_path):
    rows = [{"instruction": f"What is {words_of(f'held out {n}', 4)}?"} for n in range(HELDOUT)]
    return write_lines(tmp_path / "heldout.jsonl", rows)


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def settings_file(folder, **groups):
    """Small pools and a pairwise referee, with the groups replaced field by field."""
    settings = {
        "referee": {"mode": "pairwise", "structured_output": "off"},
        "generator": {"hard": HARD, "easy": EASY},
        "pools": {"mode": "replace"},
    }
    for name, changes in groups.items():
        settings[name] = {**settings.get(name, {}), **changes}
    path = folder / "settings.json"
    path.write_text(json.dumps(settings))
    return path


@pytest.fixture
def loop(tmp_path, pool, heldout):
    """Runs the command in one folder; returns its exit code."""

    def run(teacher, *more, out="out", **groups):
        settings = settings_file(tmp_path, **groups)
        fixed = ["run", "--pool", str(pool), "--heldout", str(heldout), "--settings", str(settings)]
        where = ["--base-url", teacher.base_url, "--model", "fake-teacher", "--out", str(tmp_path / out)]
        return main([*fixed, *where, *more])

    run.out = tmp_path / "out"
    return run


def result_of(loop):
    return json.loads((loop.out / "result.json").read_text())


def test_one_iteration_goes_through_all_stages_and_says_what_came_of_it(loop, student, capsys):
    with fake_teacher() as teacher:
        assert loop(teacher) == 0

    result = result_of(loop)
    assert json.loads(capsys.readouterr().out) == result
    assert result.keys() >= RESULT_KEYS
    assert (result["status"], result["iterations"]) == ("succeeded", 1)
    assert (result["heldout_loss_before"], result["heldout_loss_after"]) == (3.0, 1.5)
    assert result["hard"] + result["easy"] + result["unscored"] == POOL
    assert result["accepted"] == HARD + EASY
    assert result["seconds"].keys() == {"answer", "train", "compare", "judge", "generate"}
    assert (
        result["paid_calls"] == len(teacher.bodies) == POOL + HELDOUT + 2 * (POOL + 2 * HELDOUT) + result["generated"]
    )
    assert result["tokens"] == {"prompt": 10 * len(teacher.bodies), "completion": 5 * len(teacher.bodies)}


def test_every_result_stands_in_a_file(loop, student):
    with fake_teacher() as teacher:
        loop(teacher)

    responses = rows_of(loop.out / "responses.jsonl")
    assert len(responses) == (POOL + HELDOUT) + (POOL + HELDOUT) + HELDOUT  # teacher, checkpoint 1, base
    assert len(rows_of(loop.out / "reviews.jsonl")) == 2 * (POOL + 2 * HELDOUT)
    assert len(rows_of(loop.out / "verdicts.jsonl")) == POOL + 2 * HELDOUT
    assert sum(not row["rejected"] for row in rows_of(loop.out / "candidates.jsonl")) == HARD + EASY
    assert (loop.out / "checkpoints" / "checkpoint-1").is_dir()


def test_a_second_run_asks_nothing_and_changes_nothing(loop, student):
    with fake_teacher() as teacher:
        loop(teacher)
        before = {path.name: path.read_bytes() for path in loop.out.iterdir() if path.is_file()}
        asked, trained, answered = len(teacher.bodies), len(student.jobs), len(student.answered)

        assert loop(teacher) == 0

        assert (len(teacher.bodies), len(student.jobs), len(student.answered)) == (asked, trained, answered)
    assert {path.name: path.read_bytes() for path in loop.out.iterdir() if path.is_file()} == before


def test_a_finished_run_needs_no_teacher(loop, student):
    with fake_teacher() as teacher:
        loop(teacher)

    assert loop(teacher) == 0


def test_later_iterations_go_on_from_the_last_checkpoint_with_the_new_instructions_alone(loop, student):
    with fake_teacher() as teacher:
        loop(teacher)
        assert loop(teacher, "--iterations", "2") == 0

    new = [row["instruction"]["text"] for row in rows_of(loop.out / "candidates.jsonl")
           if row["iteration"] == 1 and not row["rejected"]]  # fmt: skip
    assert sorted(row["text"] for row in student.trained_on[1]) == sorted(new)
    assert student.jobs[0].adapter is None
    assert student.jobs[1].adapter == student.jobs[0].output
    first, second = result_of(loop)["per_iteration"]
    assert second["hard"] + second["easy"] + second["unscored"] == POOL + HARD + EASY
    assert second["heldout_gap_before"] == first["heldout_gap_after"] is not None
    assert result_of(loop)["heldout_gap_before"] == first["heldout_gap_before"]


def test_in_mode_append_the_train_pool_grows(loop, student):
    with fake_teacher() as teacher:
        loop(teacher, "--iterations", "2", pools={"mode": "append"})

    assert [len(rows) for rows in student.trained_on] == [POOL, POOL + HARD + EASY]


def test_without_warm_start_each_student_begins_at_the_base(loop, student):
    with fake_teacher() as teacher:
        loop(teacher, "--iterations", "2", training={"warm_start": False})

    assert [job.adapter for job in student.jobs] == [None, None]


def test_the_base_is_measured_on_the_held_out_set_in_the_first_iteration_only(loop, student, heldout):
    with fake_teacher() as teacher:
        loop(teacher, "--iterations", "2")

    by_base = [key for _, adapter, key in student.answered if adapter is None]
    assert len(by_base) == len(set(by_base)) == HELDOUT


def test_examples_are_trained_on_in_the_order_of_their_content(loop, student):
    with fake_teacher() as teacher:
        loop(teacher)

    texts = [row["text"] for row in student.trained_on[0]]
    assert texts == sorted(texts, key=lambda text: hashlib.sha256(f"{text}\x1f".encode()).hexdigest())


def test_without_a_held_out_file_the_set_is_taken_out_of_the_pool(tmp_path, pool, student):
    settings = settings_file(tmp_path, pools={"heldout": 3})
    with fake_teacher() as teacher:
        main(["run", "--pool", str(pool), "--settings", str(settings), "--base-url", teacher.base_url,
              "--model", "m", "--out", str(tmp_path / "out")])  # fmt: skip

    kept_out = {row["text"] for row in rows_of(Path(student.jobs[0].heldout_file))}
    assert len(kept_out) == 3
    assert len(student.trained_on[0]) == POOL - 3
    assert kept_out.isdisjoint(row["text"] for row in student.trained_on[0])


@pytest.mark.parametrize("train_on_cut", [False, True])
def test_cut_answers_are_trained_on_only_if_wanted_and_always_measured(loop, student, train_on_cut):
    def cut(body):
        reply = reply_to(body)
        prompt = body["messages"][-1]["content"]
        cuts = purpose_of(body) == "answer" and (number_of(prompt, 2) or prompt.startswith("What is"))
        return completion(reply, finish="length") if cuts else reply

    with fake_teacher(cut) as teacher:
        loop(teacher, training={"train_on_cut": train_on_cut})

    answered = [row for row in rows_of(loop.out / "responses.jsonl") if row["instruction"].startswith("Tell me")]
    cuts = sum(row["finish"] == "length" for row in answered)
    assert 0 < cuts < POOL
    assert len(student.trained_on[0]) == (POOL if train_on_cut else POOL - cuts)
    assert sum(not row["complete"] for row in student.trained_on[0]) == (cuts if train_on_cut else 0)
    assert [row["complete"] for row in rows_of(Path(student.jobs[0].heldout_file))] == [False] * HELDOUT


def test_the_referee_by_likelihood_pays_no_review(loop, student):
    with fake_teacher() as teacher:
        assert loop(teacher, referee={"mode": "likelihood"}) == 0
        assert not teacher.asked("review")

    assert {row["order"] for row in rows_of(loop.out / "reviews.jsonl")} == {"none"}
    assert result_of(loop)["unscored"] == 0


def test_the_referee_beside_the_reference_pays_one_review_a_pair(loop, student):
    with fake_teacher() as teacher:
        assert loop(teacher, referee={"mode": "reference"}) == 0
        reviews_asked = len(teacher.asked("review"))

    rows = rows_of(loop.out / "reviews.jsonl")
    assert len(rows) == reviews_asked == len({row["pair"] for row in rows})
    assert {(row["order"], row["score_teacher"]) for row in rows} == {("reference", 10.0)}
    assert result_of(loop)["unscored"] == 0


def test_the_referee_of_single_responses_pays_each_text_once(loop, student):
    with fake_teacher() as teacher:
        assert loop(teacher, referee={"mode": "single"}) == 0
        prompts = [body["messages"][-1]["content"] for body in teacher.asked("review")]

    rows = rows_of(loop.out / "reviews.jsonl")
    alone, together = ([row for row in rows if row["order"] == order] for order in ("alone", "single"))
    assert len(prompts) == len(set(prompts)) == len(alone)
    assert len(together) + len(alone) == len(rows)
    assert all(row["score_teacher"] == row["score_student"] for row in alone)
    assert any(row["score_teacher"] != row["score_student"] for row in together)
    assert result_of(loop)["unscored"] == 0


def test_the_length_adjusted_gap_takes_one_slope_out_of_every_pair(loop, student):
    def wordy(body):
        """Answers of different lengths, or there would be no slope."""
        prompt = body["messages"][-1]["content"]
        return words_of(prompt, 2 + number_of(prompt, 40)) if purpose_of(body) == "answer" else reply_to(body)

    with fake_teacher(wordy) as teacher:
        assert loop(teacher, referee={"length_adjusted": True}) == 0

    rows = [row for row in rows_of(loop.out / "verdicts.jsonl") if row["pool"] == "cache"]
    texts = {"teacher": {}, "student": {}}
    for row in rows_of(loop.out / "responses.jsonl"):
        texts["student" if row["text"].startswith("Student") else "teacher"][row["content_hash"]] = row["text"]
    points = []
    for row in rows:
        teacher_text, student_text = (texts[who][row["content_hash"]] for who in ("teacher", "student"))
        raw = row["score_teacher"] - row["score_student"]
        points.append((length_difference(teacher_text, student_text), raw))
    slope = fitted_slope(points)
    assert abs(slope) > 0.01
    for row, (difference, raw) in zip(rows, points, strict=True):
        assert row["gap"] == pytest.approx(raw - slope * difference, abs=1e-6)
        assert row["verdict"] == ("hard" if row["gap"] >= 1.0 else "easy")


@pytest.mark.parametrize(
    ("referee", "said"),
    [
        (
            {"second_referee": "sample"},
            "referee.second_referee: must be off here: a second endpoint needs the web app.",
        ),
        ({"stability_percent": 5}, "referee.stability_percent: must be 0 here: what it measures is shown by the web"),
    ],
)
def test_what_only_the_web_app_can_do_is_refused_before_anything_is_paid(loop, student, capsys, referee, said):
    with fake_teacher() as teacher:
        assert loop(teacher, referee=referee) == 2
        assert not teacher.asked()

    assert said in capsys.readouterr().err
    assert not loop.out.exists()


def test_nobody_runs_a_loop_with_the_mode_of_imported_judgements(loop, student, capsys):
    with fake_teacher() as teacher:
        assert loop(teacher, referee={"mode": "imported"}) == 2

    assert "imported asks nobody" in capsys.readouterr().err


def test_an_unreadable_review_is_asked_again_and_then_left_unscored(loop, student):
    def mumble(body):
        return "Both are nice." if purpose_of(body) == "review" and "amber" in str(body) else reply_to(body)

    with fake_teacher(mumble) as teacher:
        assert loop(teacher, referee={"reask": 1}) == 0
        prompts = [body["messages"][-1]["content"] for body in teacher.asked("review") if "amber" in str(body)]

    rows = [row for row in rows_of(loop.out / "reviews.jsonl") if row["score_teacher"] is None]
    assert len(rows) == len(prompts) == len(set(prompts))
    assert {row["raw"] for row in rows} == {"Both are nice."}
    unscored = [row for row in rows_of(loop.out / "verdicts.jsonl") if row["verdict"] == "unscored"]
    assert 4 * len(unscored) == len(rows)


def test_structured_output_is_tried_once_and_noted(loop, student):
    with fake_teacher() as teacher:
        loop(teacher, referee={"structured_output": "auto"})
        asked = len(teacher.bodies)
        loop(teacher, "--iterations", "2", referee={"structured_output": "auto"})
        later = teacher.bodies[asked:]

    assert json.loads((loop.out / "endpoint.json").read_text()) == {"supports_json_schema": False}
    assert all("response_format" not in body for body in later)
    assert [row["purpose"] for row in rows_of(loop.out / "calls.jsonl")].count("check") == 3


def test_what_came_back_before_the_key_was_rejected_is_not_paid_again(loop, student, capsys):
    left = [5]

    def refuse_later(body):
        left[0] -= 1
        return reply_to(body) if left[0] >= 0 else refusal(401, "Incorrect API key", "invalid_api_key")

    with fake_teacher(refuse_later) as teacher:
        assert loop(teacher, "--max-concurrency", "1") == 1
        assert "key" in capsys.readouterr().err
        assert len(rows_of(loop.out / "responses.jsonl")) == 5
        assert result_of(loop)["status"] == "failed"

        teacher.reply = reply_to
        teacher.bodies.clear()
        assert loop(teacher) == 0
        assert len(teacher.asked("answer")) == POOL + HELDOUT - 5


@pytest.mark.parametrize("what", ["train", "answer", "likelihood"])
def test_a_failure_half_way_costs_nothing_of_what_was_done(loop, monkeypatch, what, capsys):
    mode = {"mode": "likelihood"} if what == "likelihood" else {}
    with fake_teacher() as teacher:
        play(monkeypatch, Student())
        loop(teacher, out="undisturbed", referee=mode)
        undisturbed, asked = loop.out.parent / "undisturbed", len(teacher.bodies)
        student = play(monkeypatch, Student(fail_once=what))
        assert loop(teacher, referee=mode) == 1
        assert "Try again." in capsys.readouterr().err

        assert loop(teacher, referee=mode) == 0

        assert len(teacher.bodies) == 2 * asked
    assert len(student.answered) == len(set(student.answered))
    for name in ("responses", "reviews", "verdicts", "candidates"):
        rows = [sorted((folder / f"{name}.jsonl").read_text().splitlines()) for folder in (loop.out, undisturbed)]
        assert rows[0] == rows[1]


def test_of_a_crash_only_the_row_being_written_is_made_again(loop, student):
    with fake_teacher() as teacher:
        student.fail_once = "train"
        loop(teacher)
        path = loop.out / "responses.jsonl"
        path.write_bytes(path.read_bytes()[:-9])
        teacher.bodies.clear()

        assert loop(teacher) == 0

        assert len(teacher.asked("answer")) == 1
    assert len(rows_of(path)) == 2 * (POOL + HELDOUT) + HELDOUT


def too_long():
    return refusal(400, "This model's maximum context length is 5", "context_length_exceeded")


def test_a_few_calls_that_fail_for_good_are_left_out(loop, student, pool):
    text = rows_of(pool)[0]["instruction"]

    def refuse(body):
        prompt = body["messages"][-1]["content"]
        is_it = purpose_of(body) == "review" and text in prompt
        return too_long() if is_it and prompt.find("Student says") < prompt.find("About") else reply_to(body)

    with fake_teacher(refuse) as teacher:
        assert loop(teacher) == 0
        tries = len(teacher.bodies) - result_of(loop)["paid_calls"]

    assert tries == 2
    assert result_of(loop)["unscored"] == 1


def test_more_failures_than_a_stage_may_lose_end_it_with_the_last_one_said(loop, student, heldout, capsys):
    text = rows_of(heldout)[0]["instruction"]

    def refuse(body):
        return too_long() if body["messages"][-1]["content"] == text else reply_to(body)

    with fake_teacher(refuse) as teacher:
        assert loop(teacher) == 1
        assert sum(body["messages"][-1]["content"] == text for body in teacher.bodies) == 2
    said = capsys.readouterr().err
    assert "1 of 16 calls failed for good." in said
    assert "maximum context length" in said


def test_settings_of_a_begun_run_cannot_change(loop, student, capsys):
    with fake_teacher() as teacher:
        loop(teacher)
        assert loop(teacher, training={"epochs": 7}) == 2

    assert "settings.training.epochs is 3 there and 7 here" in capsys.readouterr().err


def test_a_preset_that_changes_does_not_change_a_begun_run(loop, student, monkeypatch):
    with fake_teacher() as teacher:
        loop(teacher)
        demo = PRESETS["bundled-demo"]
        changed = replace(demo, settings=replace(demo.settings, training=TrainingSettings(epochs=9)))
        monkeypatch.setitem(PRESETS, "bundled-demo", changed)

        assert loop(teacher, "--iterations", "2") == 0

    assert [job.settings["epochs"] for job in student.jobs] == [3, 3]


def test_paid_answers_can_be_carried_to_a_new_folder(loop, student):
    with fake_teacher() as teacher:
        loop(teacher)
        new = loop.out.parent / "new"
        new.mkdir()
        (new / "responses.jsonl").write_bytes((loop.out / "responses.jsonl").read_bytes())
        teacher.bodies.clear()

        assert loop(teacher, out="new", training={"epochs": 7}) == 0

        prompts = {body["messages"][-1]["content"] for body in teacher.asked("answer")}
    assert not prompts


def test_two_runs_in_one_folder_do_not_meet(loop, student, capsys):
    loop.out.mkdir()
    with (loop.out / ".lock").open("w") as lock, fake_teacher() as teacher:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert loop(teacher) == 2

    assert "Another run is at work" in capsys.readouterr().err


def test_the_key_is_sent_and_never_written(loop, student, monkeypatch, capsys):
    monkeypatch.setenv("TEACHER_API_KEY", "sk-very-secret")
    with fake_teacher() as teacher:
        loop(teacher)

    assert not any(b"very-secret" in path.read_bytes() for path in loop.out.rglob("*") if path.is_file())
    assert "very-secret" not in "".join(capsys.readouterr())


def test_a_damaged_file_is_named_with_its_line(loop, student, capsys):
    with fake_teacher() as teacher:
        loop(teacher)
        path = loop.out / "reviews.jsonl"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join([lines[0], "garbage\n", *lines[1:]]))
        assert loop(teacher) != 0

    assert "Line 2 of" in capsys.readouterr().err


def test_a_full_disk_is_said_and_what_was_written_before_is_kept(loop, student, monkeypatch, capsys):
    left = [5]

    def append(journal, row):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(journal, row)

    original = Journal.append
    with fake_teacher() as teacher:
        monkeypatch.setattr(Journal, "append", append)
        assert loop(teacher) == 1
        assert "Error: No space left on device. What is done is kept" in capsys.readouterr().err
        kept = len(rows_of(loop.out / "responses.jsonl"))
        assert kept
        monkeypatch.setattr(Journal, "append", original)
        teacher.bodies.clear()

        assert loop(teacher) == 0

        assert len(teacher.asked("answer")) == POOL + HELDOUT - kept


def test_two_students_that_answer_in_the_same_words_are_reviewed_once(loop, student, monkeypatch):
    def row(self, item):
        return {"key": item["key"], "text": "Same.", "finish": "stop", "prompt_tokens": 1, "completion_tokens": 1}

    monkeypatch.setattr(Inference, "_row", row)
    with fake_teacher() as teacher:
        assert loop(teacher) == 0
        assert len(teacher.asked("review")) == 2 * (POOL + HELDOUT)

    assert len(rows_of(loop.out / "verdicts.jsonl")) == POOL + 2 * HELDOUT
