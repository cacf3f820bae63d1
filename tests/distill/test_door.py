"""python -m distill: what it says about wrong input, and its two small commands."""

import json

import pytest

from distill.__main__ import main
from distill.presets import PRESETS
from distill.settings import ExperimentSettings
from tests.distill.fake_teacher import fake_teacher


@pytest.fixture(autouse=True)
def _no_teacher_in_the_environment(monkeypatch):
    for name in ("TEACHER_BASE_URL", "TEACHER_MODEL", "TEACHER_API_KEY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path):
    def run(*more, lines='{"instruction": "Name a river."}\n{"instruction": "Name a hill."}\n', settings=None):
        pool, changes = tmp_path / "pool.jsonl", tmp_path / "settings.json"
        pool.write_text(lines)
        changes.write_text(json.dumps(settings if settings is not None else {"pools": {"heldout": 1}}))
        fixed = ["run", "--pool", str(pool), "--out", str(tmp_path / "out"), "--settings", str(changes)]
        return main([*fixed, *more])

    return run


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--pool", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file or directory."),
        (["--heldout", "nowhere.jsonl"], "nowhere.jsonl cannot be read: No such file or directory."),
        (["--settings", "nowhere.json"], "nowhere.json cannot be read: No such file or directory."),
        (["--preset", "huge"], "There is no preset 'huge'. Choose one of bundled-demo, paper-7b, lora-24gb."),
        (["--preset", "paper-7b"], "The preset paper-7b needs a teacher. Give --base-url and --model"),
        (["--base-url", "http://127.0.0.1:9/v1"], "The endpoint's model is missing. Name it with --model"),
        (["--base-url", "example.org", "--model", "m"], "does not start with http:// or https://"),
        (["--iterations", "1000"], "iterations: must be a whole number between 1 and 100, not 1000."),
    ],
)
def test_wrong_options_end_with_a_sentence_and_code_2(run, capsys, more, said):
    assert run(*more) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training": {"epoch": 3}}, "training.epoch: is not a setting."),
        ({"trainning": {"epochs": 3}}, "trainning: is not a setting."),
        ({"training": {"epochs": 0}}, "training.epochs: must be between 1 and 100, not 0."),
        ({"training": 3}, "training: must be an object, not 3."),
        ([1], "settings: must be an object, not [1]."),
    ],
)
def test_wrong_settings_are_named(run, capsys, changes, said):
    assert run(settings=changes) == 2
    assert said in capsys.readouterr().err


def test_a_settings_file_that_is_no_json_is_named(run, tmp_path, capsys):
    path = tmp_path / "broken.json"
    path.write_text("{")
    assert run("--settings", str(path)) == 2
    assert "broken.json is no JSON" in capsys.readouterr().err


def test_a_bad_line_of_the_pool_is_named(run, capsys):
    assert run(lines='{"instruction": "Name a river."}\n{"instruction": \n') == 2
    said = capsys.readouterr().err
    assert "1 lines of" in said
    assert "Line 2:" in said
    assert "--keep-good" in said


def test_a_held_out_set_as_large_as_the_pool_leaves_nothing_to_train_on(run, capsys):
    assert run(settings={"pools": {"heldout": 2}}) == 2
    assert "leaves no instruction to train on" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    with fake_teacher() as teacher:
        code = run("--out", str(tmp_path / "file" / "out"), "--base-url", teacher.base_url, "--model", "m")
    assert code == 2
    assert "cannot be used: Not a directory." in capsys.readouterr().err


def test_options_that_are_no_numbers_are_refused(run):
    with pytest.raises(SystemExit) as ended:
        run("--iterations", "0")
    assert ended.value.code == 2


@pytest.mark.parametrize("name", PRESETS)
def test_settings_prints_what_can_be_read_back(capsys, name):
    assert main(["settings", "--preset", name]) == 0
    assert ExperimentSettings.from_json(json.loads(capsys.readouterr().out)) == PRESETS[name].settings


def test_check_says_what_an_endpoint_can_do(capsys):
    with fake_teacher() as teacher:
        assert main(["check", "--base-url", teacher.base_url, "--model", "fake-teacher"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["models"] == ["fake-teacher"]
    assert (report["supports_json_schema"], report["supports_logprobs"]) == (False, False)


def test_check_takes_the_endpoint_from_the_environment(capsys, monkeypatch):
    with fake_teacher() as teacher:
        monkeypatch.setenv("TEACHER_BASE_URL", teacher.base_url)
        monkeypatch.setenv("TEACHER_MODEL", "fake-teacher")
        assert main(["check"]) == 0


def test_check_without_an_endpoint_is_wrong_use_and_with_a_dead_one_a_failure(capsys):
    assert main(["check"]) == 2
    assert main(["check", "--base-url", "http://127.0.0.1:9/v1", "--model", "m"]) == 1
    assert "cannot be reached" in capsys.readouterr().err
