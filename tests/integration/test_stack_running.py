"""The whole stack with real processes: each of them is killed, the stack is stopped, crashes and starts again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest

from lionweb.local import home, programs, running
from lionweb.local.stack import launch, running_stack

pytestmark = pytest.mark.chaos

# The services that the tests themselves use are not those of these stacks.
ALONE = {"DATABASE_URL": "", "BROKER_URL": "", "TEACHER_BASE_URL": ""}
PROCESSES = ("postgres", "valkey", "worker-api", "worker-gpu", "worker-default", "beat", "web")
GUARD_SECONDS = 120


@pytest.fixture(scope="module")
def parent():
    path = Path(tempfile.mkdtemp(prefix="lw stack ")).resolve()
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def stack(parent):
    with running_stack(parent / "first", teacher="none", env=ALONE) as stack:
        yield stack


def until(condition, what):
    deadline = time.monotonic() + GUARD_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def family(stack):
    supervisor = psutil.Process(stack.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def manage(folder, *arguments):
    environment = {**os.environ, **ALONE, "LIONWEB_HOME": str(folder)}
    argv = [sys.executable, programs.MANAGE, *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=GUARD_SECONDS)


def test_the_page_answers_and_every_process_runs(stack):
    with urlopen(stack.url) as answer:
        assert answer.status == 200
        assert "/sign-in/" in answer.url
    assert set(stack.names()) == set(PROCESSES)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_killed_process_comes_back_and_that_is_said(stack, name):
    killed = stack.pid_of(name)
    before = stack.state["processes"][name]["restarts"]

    os.kill(killed, signal.SIGKILL)
    until(lambda: stack.state["processes"][name]["restarts"] > before, stack.output())
    stack.wait_ready()

    assert stack.pid_of(name) != killed
    assert f"{name} was ended by SIGKILL. It starts again" in stack.output()
    with urlopen(stack.url) as answer:
        assert answer.status == 200


def test_status_names_the_url_and_the_processes(stack):
    shown = json.loads(manage(stack.folder, "status", "--json").stdout)

    assert shown["url"] == stack.url
    assert shown["pid"] == stack.process.pid
    assert set(shown["processes"]) == set(PROCESSES)


def test_a_second_start_with_the_same_folder_is_refused(stack):
    done = manage(stack.folder, "up", "--port", "0")

    assert done.returncode == 2
    assert f"already runs with the data folder {stack.folder} (process {stack.process.pid}, {stack.url})" in done.stderr
    stack.wait_ready()


def test_two_installations_live_side_by_side_and_one_stops_alone(stack, parent):
    with running_stack(parent / ("a long name " * 10) / "second", teacher="none", env=ALONE) as second:
        members = family(second)
        assert second.url != stack.url

        assert second.stop() == 0

    assert psutil.wait_procs(members, timeout=10)[1] == []
    assert not running.is_held(second.folder)
    assert manage(second.folder, "status").returncode == 3
    stack.wait_ready()


def test_after_a_crash_of_the_supervisor_nothing_is_left_and_the_next_start_works(parent):
    folder = parent / "crashed"
    with running_stack(folder, teacher="none", env=ALONE) as first:
        members = family(first)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()

    assert psutil.wait_procs(members, timeout=30)[1] == []
    assert home.up_state(folder).exists()
    with running_stack(folder, teacher="none", env=ALONE) as second:
        done = manage(folder, "stop")
        assert done.stdout == f"Stopped LionWeb with the data folder {folder}.\n"
        assert second.process.wait(10) == 0


def test_a_stop_during_the_start_leaves_nothing(parent):
    stack = launch(parent / "hasty", teacher="none", env=ALONE)
    until(lambda: stack.names(), "nothing was started")
    members = family(stack)

    assert stack.stop() == 0

    assert psutil.wait_procs(members, timeout=10)[1] == []
    assert not running.is_held(stack.folder)
