"""The bundled teacher: started when first needed, found by its state file, ended with the run."""

import sys
import time

import psutil
import pytest

from distill.errors import EndpointUnreachable
from distill.loop.teacher import BundledTeacher, GivenTeacher
from distill.records import Endpoint

SERVER = """#!{python} -I
import json, pathlib, sys, time
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
assert sys.argv[1:3] == ["-m", "distill.teacher_server"]
state = pathlib.Path(options["--state-file"])
state.write_text('{{"base_')
time.sleep(0.3)
state.write_text(json.dumps({{"base_url": "http://127.0.0.1:1/v1", "model": "small", "pid": 1, "port": 1}}))
pathlib.Path({said!r}).write_text(json.dumps(options))
time.sleep(60)
"""


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Stands in for the Python that would run the real server; returns the file it writes its options to."""
    script, said = tmp_path / "server", tmp_path / "options.json"
    script.write_text(SERVER.format(python=sys.executable, said=str(said)))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    return said


def test_the_server_is_started_once_and_ended_with_the_run(server):
    before = set(psutil.Process().children())  # other tests' processes
    teacher = BundledTeacher(threads=1)
    try:
        endpoint = teacher.endpoint()
        assert (endpoint.base_url, endpoint.model) == ("http://127.0.0.1:1/v1", "small")
        assert teacher.endpoint() is endpoint
        running = set(psutil.Process().children()) - before
        assert len(running) == 1
    finally:
        teacher.close()
    assert not running.pop().is_running()


def test_it_is_told_whose_child_it_is(server):
    teacher = BundledTeacher(threads=3)
    try:
        teacher.endpoint()
        give_up = time.monotonic() + 10
        while not server.exists() and time.monotonic() < give_up:
            time.sleep(0.01)
        options = server.read_text()
    finally:
        teacher.close()
    assert '"--threads": "3"' in options
    assert f'"--parent-pid": "{psutil.Process().pid}"' in options


def test_a_server_that_ends_at_once_is_said(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    teacher = BundledTeacher(threads=1)
    with pytest.raises(EndpointUnreachable, match="did not start: it said nothing"):
        teacher.endpoint()
    teacher.close()


def test_nothing_is_started_for_a_run_that_asks_nothing(server):
    teacher = BundledTeacher(threads=1)
    teacher.close()
    assert not server.exists()


def test_a_teacher_is_known_by_its_model_and_address():
    given = GivenTeacher(Endpoint("https://host/v1", "large"))
    assert given.author == "large@https://host/v1"
    assert BundledTeacher(1).author.endswith("@bundled")
