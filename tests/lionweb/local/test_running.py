import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from lionweb.local import folders, home, running
from lionweb.local.problems import CannotStart

HOLDER = """
import sys, time
from pathlib import Path
from lionweb.local import running
with running.held_lock(Path(sys.argv[1])):
    running.write_state(Path(sys.argv[1]), "http://127.0.0.1:8000", time.time(), [])
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(folder):
    """Another process that runs the stack of this folder."""
    folders.prepare(folder)
    with subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_start_says_who_runs_already(folder, holder):
    expected = rf"already runs .*\(process {holder.pid}, http://127.0.0.1:8000\)"

    with pytest.raises(CannotStart, match=expected), running.held_lock(folder):
        pass


def test_the_lock_is_free_again_after_a_crash(folder, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()

    assert not running.is_held(folder)
    with running.held_lock(folder):
        assert running.is_held(folder)


def test_stop_ends_the_holder(folder, holder):
    assert running.stop_running(folder) == f"Stopped LionWeb with the data folder {folder}."
    assert holder.wait(10) == -signal.SIGTERM


def test_stop_never_ends_a_process_that_only_has_the_same_number(folder, holder):
    state = running.read_state(folder)
    home.up_state(folder).write_text(json.dumps({**state, "created": state["created"] - 3600}))

    with pytest.raises(CannotStart, match="only just starting"):
        running.stop_running(folder)

    assert holder.poll() is None


def test_stop_says_when_nothing_runs(tmp_path):
    assert running.stop_running(tmp_path) == f"Nothing runs with the data folder {tmp_path}."


@pytest.mark.parametrize("written", [None, "", "{cut o", "[1]"])
def test_a_missing_or_cut_state_file_is_no_state(folder, written):
    folders.prepare(folder)
    if written is not None:
        home.up_state(folder).write_text(written)

    assert running.read_state(folder) == {}


def test_the_state_names_this_process(folder):
    folders.prepare(folder)
    running.write_state(folder, "http://127.0.0.1:1", 5.0, [])

    state = running.read_state(folder)

    assert state["pid"] == os.getpid()
    assert state["created"] == psutil.Process().create_time()
    assert state["processes"] == {}
