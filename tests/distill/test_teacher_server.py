import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from distill.bundled import bundled_teacher_gguf
from distill.errors import ModelLoadError

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60


def bundled_missing():
    try:
        bundled_teacher_gguf()
    except ModelLoadError as error:
        return str(error)
    return ""


pytestmark = [pytest.mark.models, pytest.mark.skipif(bool(bundled_missing()), reason=bundled_missing())]


def start(state, *options):
    command = [sys.executable, "-m", "distill.teacher_server", "--state-file", str(state), "--threads", "1", *options]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def wait_until(true, what):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def ask(base_url, path, body=None):
    data = json.dumps(body).encode() if body else None
    request = urllib.request.Request(f"{base_url}{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:
        return json.load(reply)


def chat(state, **options):
    body = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 24, **options}
    return ask(state["base_url"], "/chat/completions", {"model": state["model"], **body})["choices"][0]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("server") / "teacher.json"
    process = start(path, "--parallel", "2")
    wait_until(path.exists, "the server did not announce itself")
    yield json.loads(path.read_text())
    process.terminate()
    process.wait()


def test_the_state_file_says_where_the_server_is(server):
    assert server["base_url"] == f"http://127.0.0.1:{server['port']}/v1"
    assert [model["id"] for model in ask(server["base_url"], "/models")["data"]] == [server["model"]]
    assert "distill.teacher_server" in Path(f"/proc/{server['pid']}/cmdline").read_text()


def test_it_answers_and_says_why_it_stopped(server):
    choice = chat(server, max_tokens=3)

    assert choice["message"]["content"]
    assert choice["finish_reason"] == "length"


def test_it_keeps_to_a_json_schema(server):
    properties = {"score": {"type": "integer"}, "why": {"type": "string", "maxLength": 8}}
    schema = {"type": "object", "properties": properties, "required": ["score", "why"], "additionalProperties": False}
    wanted = {"type": "json_schema", "json_schema": {"name": "review", "schema": schema, "strict": True}}

    reply = json.loads(chat(server, response_format=wanted, max_tokens=64)["message"]["content"])

    assert set(reply) == {"score", "why"}
    assert isinstance(reply["score"], int)


def test_it_gives_log_probabilities(server):
    tokens = chat(server, logprobs=True, top_logprobs=2)["logprobs"]["content"]

    assert all(token["logprob"] <= 0 for token in tokens)
    assert len(tokens[0]["top_logprobs"]) == 2


def test_it_ends_at_once_when_told_to_and_takes_its_state_file_away(tmp_path):
    state = tmp_path / "teacher.json"
    state.write_text("left over from a crash")
    process = start(state, "--parallel", "1")
    wait_until(lambda: state.exists() and state.read_text().startswith("{"), "the server did not announce itself")

    process.send_signal(signal.SIGTERM)

    assert process.wait(PATIENCE_SECONDS) == 0
    assert not state.exists()


def test_it_ends_when_its_parent_has_ended(tmp_path):
    parent = subprocess.Popen(["sleep", "1000"])
    state = tmp_path / "teacher.json"
    process = start(state, "--parallel", "1", "--parent-pid", str(parent.pid))
    wait_until(state.exists, "the server did not announce itself")

    os.kill(parent.pid, signal.SIGKILL)  # and is not waited for: a zombie counts as ended

    assert process.wait(PATIENCE_SECONDS) == 0
    parent.wait()


def test_a_taken_port_is_said_in_plain_words(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(tmp_path / "teacher.json", "--port", str(taken.getsockname()[1]))
        _, said = process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 1
    assert "cannot listen on 127.0.0.1" in said
