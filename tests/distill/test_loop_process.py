"""python -m distill as a process, with a real (tiny) student: one iteration, a run again, and a kill in each half."""

import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.distill.fake_teacher import fake_teacher, words_of
from tests.tiny_models import build_tiny_model

ROOT = Path(__file__).resolve().parents[2]
POOL, HELDOUT, NEW = 8, 3, 4
HANG_SECONDS = 240
SETTINGS = {
    "student": {"temperature": 0.0, "max_new_tokens": 12, "batch_size": 8},
    "training": {"epochs": 2, "batch_size": 4, "learning_rate": 0.001, "max_length": 128, "save_every_steps": 1},
    "referee": {"mode": "likelihood"},
    "generator": {"hard": NEW // 2, "easy": NEW // 2},
    "pools": {"heldout": HELDOUT},
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def command(tmp_path_factory, tiny):
    """The command line for a teacher and a folder."""
    folder = tmp_path_factory.mktemp("given")
    pool, changes = folder / "pool.jsonl", folder / "settings.json"
    rows = [{"instruction": f"Tell me about {words_of(f'pool {n}', 4)}."} for n in range(POOL + HELDOUT)]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes.write_text(json.dumps(with_model(SETTINGS, str(tiny))))

    def of(teacher, out):
        given = ["--pool", str(pool), "--settings", str(changes), "--out", str(out), "--threads", "1"]
        return [sys.executable, "-m", "distill", "run", *given, "--base-url", teacher.base_url, "--model", "fake"]

    return of


def with_model(settings, folder):
    student = {**settings["student"], "base": folder}
    return {**settings, "student": student, "referee": {**settings["referee"], "weights": folder}}


@pytest.fixture(scope="module")
def teacher():
    with fake_teacher() as teacher:
        yield teacher


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, command, teacher):
    """The folder of a whole run, what it printed, and how often it asked."""
    folder = tmp_path_factory.mktemp("undisturbed")
    teacher.bodies.clear()
    done = run(command(teacher, folder))
    assert done.returncode == 0, done.stderr
    return folder, json.loads(done.stdout), len(teacher.bodies)


@pytest.fixture(autouse=True)
def _nothing_asked_yet(undisturbed, teacher):
    teacher.bodies.clear()


def run(command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_SECONDS, check=False)


@contextmanager
def started(command):
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def kill_once(process, is_time):
    give_up = time.monotonic() + HANG_SECONDS
    while not is_time():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < give_up
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def decisions(folder):
    """Everything that a run decided, without what a second try may do in another order."""
    return {
        name: sorted(lines(folder / f"{name}.jsonl")) for name in ("responses", "reviews", "verdicts", "candidates")
    }


def test_one_iteration_with_a_real_student(undisturbed):
    _, result, _ = undisturbed
    assert result["heldout_loss_after"] < result["heldout_loss_before"]
    assert result["hard"] + result["easy"] == POOL
    assert result["accepted"] == NEW
    assert result["heldout_gap_before"] != result["heldout_gap_after"]


def test_then_there_is_nothing_more_to_do(undisturbed, command, teacher):
    folder, result, _ = undisturbed
    before = decisions(folder)

    again = run(command(teacher, folder))

    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout) == result
    assert not teacher.bodies
    assert decisions(folder) == before


def test_a_run_that_is_killed_again_and_again_decides_as_an_undisturbed_one(tmp_path, undisturbed, command, teacher):
    answered = POOL + HELDOUT
    for file, rows in (("responses", 3), ("training", 3), ("responses", answered + 2), ("replies", 1)):
        with started(command(teacher, tmp_path)) as process:
            kill_once(process, lambda file=file, rows=rows: len(lines(tmp_path / f"{file}.jsonl")) >= rows)

    done = run(command(teacher, tmp_path))

    assert done.returncode == 0, done.stderr
    folder, _, asked = undisturbed
    assert decisions(tmp_path) == decisions(folder)
    assert asked <= len(teacher.bodies) <= asked + answered + NEW  # paid again: at most what was under way


def test_an_interrupted_run_ends_in_order_and_loses_nothing(tmp_path, command, teacher):
    with started(command(teacher, tmp_path)) as process:
        while len(lines(tmp_path / "responses.jsonl")) < 3:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        assert process.wait(HANG_SECONDS) == 130
        assert "run the same command again to go on" in process.stderr.read()

    assert len(teacher.bodies) == len(lines(tmp_path / "responses.jsonl"))
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "paused"
