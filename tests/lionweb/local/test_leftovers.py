import subprocess
import sys

import psutil
import pytest

from lionweb.local import leftovers


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_a_recorded_process_that_still_runs_is_ended(sleeper):
    process = psutil.Process(sleeper.pid)

    assert leftovers.end_recorded([(sleeper.pid, process.create_time())]) == [sleeper.pid]
    assert not process.is_running()


def test_a_process_that_only_has_the_recorded_number_is_left_alone(sleeper):
    created = psutil.Process(sleeper.pid).create_time()

    assert leftovers.end_recorded([(sleeper.pid, created - 60)]) == []
    assert sleeper.poll() is None


def test_a_process_that_will_not_listen_is_ended_all_the_same(monkeypatch):
    monkeypatch.setattr(leftovers, "GRACE_SECONDS", 0.2)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "deaf\n"

        listed = psutil.Process(process.pid)
        leftovers.end([listed])

        assert not listed.is_running()


def test_the_children_of_a_recorded_process_end_with_it():
    parent = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    parent += "print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        child = int(process.stdout.readline())
        created = psutil.Process(process.pid).create_time()

        ended = leftovers.end_recorded([(process.pid, created)])

        assert ended == sorted([process.pid, child])
        assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE
