import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill import inference
from distill.errors import DistillError, ModelLoadError, OutOfMemory, SettingsError
from distill.inference_client import InferenceProcess, rebuilt
from distill.weights import load_model
from tests.tiny_models import build_tiny_model

ROOT = Path(__file__).resolve().parents[2]
ITEMS = [{"key": str(i), "text": "Name a river. " * i, "input": ""} for i in range(5)]
PATIENCE_SECONDS = 60


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def header(tiny):
    settings = {"max_new_tokens": 8, "temperature": 0.0}
    return {"op": "answer", "base": str(tiny), "home": str(tiny), "settings": settings, "threads": 1}


def speak(lines, **options):
    return subprocess.run(
        [sys.executable, "-m", "distill.inference"],
        input="\n".join(json.dumps(line) if isinstance(line, dict) else line for line in lines),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=PATIENCE_SECONDS,
        **options,
    )


def test_one_process_answers_batch_after_batch(header):
    with InferenceProcess(header) as process:
        first = {row["key"]: row for row in process.run(ITEMS)}
        second = {row["key"]: row for row in process.run(reversed(ITEMS))}

    assert first == second
    assert set(first) == {"0", "1", "2", "3", "4"}
    assert set(first["0"]) == {"key", "text", "finish", "completion_tokens", "prompt_tokens"}
    assert process.child.returncode == 0


def test_likelihood_reviews_come_from_the_same_kind_of_process(header):
    pair = {**ITEMS[1], "teacher_response": "A river of Europe", "student_response": ""}
    with InferenceProcess({**header, "op": "likelihood", "settings": {}}) as process:
        (review,) = process.run([pair])

    assert review["order"] == "none"
    assert review["score_teacher"] > review["score_student"] == 1


def test_a_response_is_scored_by_its_mean_log_probability(tiny):
    loaded = load_model(str(tiny), home=tiny)
    asked = [{**ITEMS[1], "response": "A river of Europe"}, {**ITEMS[2], "response": ""}]

    first, second = inference._scores(loaded, {})(iter(asked))

    assert first["key"] == "1"
    assert first["logprob"] < 0
    assert second == {"key": "2", "logprob": None}


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"base": "/no/such/model"}, ModelLoadError, "does not exist"),
        ({"op": "sing"}, DistillError, "op must be one of"),
        ({"settings": {"temperature": 9.0}}, DistillError, "student.temperature"),
    ],
)
def test_the_childs_error_is_raised_as_it_was(header, change, kind, said):
    with pytest.raises(kind, match=said), InferenceProcess({**header, **change}) as process:
        list(process.run(ITEMS))


def test_a_child_killed_by_the_system_is_told_as_want_of_memory(header):
    with InferenceProcess(header) as process:
        list(process.run(ITEMS[:1]))
        os.kill(process.child.pid, signal.SIGKILL)
        with pytest.raises(OutOfMemory) as caught:
            list(process.run(ITEMS))

    assert "batch size" in caught.value.advice


def test_a_child_that_breaks_is_told_with_its_last_words(header):
    with (
        pytest.raises(DistillError, match="TypeError"),
        InferenceProcess({**header, "settings": {"no_such": 1}}) as process,
    ):
        list(process.run(ITEMS))


def test_being_told_to_stop_ends_the_child(header):
    with InferenceProcess(header) as process:
        assert list(process.run(ITEMS, should_stop=lambda: True)) == []
        assert process.child.poll() is not None


def test_leaving_in_the_middle_of_a_batch_ends_the_child(header):
    with InferenceProcess({**header, "settings": {"max_new_tokens": 400}}) as process:
        next(process.run(ITEMS * 50))

    assert process.child.poll() is not None


def test_the_child_ends_when_its_parent_is_killed(header, tmp_path):
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import json, sys\n"
            "from distill.inference_client import InferenceProcess\n"
            "with InferenceProcess(json.loads(sys.argv[1])) as process:\n"
            "    list(process.run([]))\n"
            "    print(process.child.pid, flush=True)\n"
            "    list(process.run([{'key': str(i), 'text': 'river', 'input': ''} for i in range(10**5)]))\n",
            json.dumps({**header, "settings": {"max_new_tokens": 400}}),
        ],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    child = int(parent.stdout.readline())

    parent.kill()
    parent.wait()

    deadline = time.monotonic() + PATIENCE_SECONDS
    while running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not running(child)


def running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_file_of_items_is_answered_whole_and_only_results_are_printed(header):
    done = speak([header, *ITEMS])

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows[0] == {"ready": True}
    assert rows[-1] == {"done": 5}
    assert len(rows) == 7
    assert done.returncode == 0


@pytest.mark.parametrize("line", ["{broken", "[1]", "nonsense"])
def test_a_line_that_is_no_object_is_an_error_with_a_reason(line):
    with pytest.raises(DistillError, match="JSON"):
        inference._parsed(line)


def test_the_client_and_the_protocol_start_without_torch():
    code = "import sys, distill.inference_client, distill.inference; print('torch' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)

    assert done.stdout.strip() == "False"


def test_errors_come_back_as_their_own_kind():
    for error in (ModelLoadError("a", "b"), OutOfMemory("a", "b")):
        back = rebuilt(error.as_dict())
        assert (type(back), back.as_dict()) == (type(error), error.as_dict())
    assert rebuilt(SettingsError("student.base", "is wrong").as_dict()).code == "bad_setting"
    assert rebuilt({"code": "new_kind", "cause": "a", "advice": ""}).code == "new_kind"
