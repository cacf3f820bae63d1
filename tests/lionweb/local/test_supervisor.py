"""With real but empty processes: what is started, restarted, said and stopped."""

import os
import signal
import sys
import time

import psutil
import pytest

from lionweb.local import folders, logs, supervisor
from lionweb.local.problems import CannotStart
from lionweb.local.program import Child, Program, describe_exit
from lionweb.local.supervisor import StopAsked, Supervisor

WAITS = "print('here', flush=True); import time; time.sleep(60)"


def program(name, code=WAITS, **options):
    options.setdefault("ready", lambda child: "here" in child.said())
    return Program(name, [sys.executable, "-c", code], **options)


class Stage:
    """A supervisor with what it said and the states it reported."""

    def __init__(self, folder):
        folders.prepare(folder)
        self.said = []
        self.reports = 0
        self.supervisor = Supervisor(folder, self.said.append, self.count)

    def count(self, children):
        self.reports += 1

    def child(self, name):
        return next(child for child in self.supervisor.children if child.program.name == name)

    def until(self, condition, seconds=20):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.said
            self.supervisor.tend()
            time.sleep(0.02)


@pytest.fixture
def stage(folder):
    stage = Stage(folder)
    yield stage
    stage.supervisor.stops_asked += 1
    stage.supervisor.stop()


def test_a_start_waits_until_everything_is_ready(stage):
    stage.supervisor.start([program("one"), program("two")])

    assert [child.state for child in stage.supervisor.children] == ["running", "running"]
    assert stage.said == []


def test_a_killed_process_is_started_again_and_that_is_said(stage):
    stage.supervisor.start([program("web"), program("beat")])
    first = stage.child("web").process.pid

    os.kill(first, signal.SIGKILL)
    stage.until(lambda: stage.child("web").restarts == 1 and stage.child("web").state == "running")

    assert stage.child("web").process.pid != first
    assert stage.child("beat").restarts == 0
    assert stage.said == ["web was ended by SIGKILL. It starts again in 0.25 s. Its last line: here"]


def test_what_a_dead_process_had_started_ends_with_it(stage):
    code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    code += "print('here', p.pid, flush=True); p.wait()"
    stage.supervisor.start([program("worker", code)])
    grandchild = psutil.Process(int(stage.child("worker").said().split()[1]))

    os.kill(stage.child("worker").process.pid, signal.SIGKILL)
    stage.until(lambda: stage.child("worker").restarts == 1)

    stage.until(lambda: not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE)


def test_each_quick_end_makes_the_next_wait_longer(stage):
    stage.supervisor.start([program("web", "raise SystemExit(3)")], wait=False)

    stage.until(lambda: stage.child("web").restarts == 3)

    waits = [line.split("again in ")[1].split(" s")[0] for line in stage.said]
    assert waits == ["0.25", "0.5", "1"]
    assert "ended with exit code 3" in stage.said[0]


def test_the_wait_never_exceeds_half_a_minute_and_shrinks_after_a_long_run():
    child = Child(program("web"), log=None, quick_failures=40, started_at=time.monotonic())
    assert child.wait_before_restart() == 30

    child.started_at = time.monotonic() - 3600
    assert child.wait_before_restart() == 0.25


def test_a_program_that_never_comes_up_ends_the_start_with_its_last_words(stage):
    broken = program("web", "raise SystemExit('no such module')")

    with pytest.raises(CannotStart, match=r"web does not start: no such module Its log: .*web\.log"):
        stage.supervisor.start([broken])


def test_a_program_that_is_never_ready_ends_the_start(stage, monkeypatch):
    monkeypatch.setattr(supervisor, "START_SECONDS", 0.3)

    with pytest.raises(CannotStart, match="Not everything was ready"):
        stage.supervisor.start([program("web", ready=lambda _: False)])


def test_a_restart_that_cannot_be_prepared_is_said_and_tried_again(stage):
    problems = [CannotStart("the folder is gone")]

    def prepare():
        if stage.supervisor.children and stage.child("db").restarts and problems:
            raise problems.pop()

    stage.supervisor.start([program("db", prepare=prepare)])
    os.kill(stage.child("db").process.pid, signal.SIGKILL)
    stage.until(lambda: stage.child("db").restarts == 2 and stage.child("db").state == "running")

    assert stage.said[1] == "db does not start, next try in 0.5 s: the folder is gone"


def test_everything_stops_in_reverse_order(stage, tmp_path):
    diary = tmp_path / "diary"
    code = "import signal, sys, time; f = lambda *_: (open({0!r}, 'a').write({1!r}), sys.exit(0)); "
    code += "signal.signal(15, f); print('here', flush=True); time.sleep(60)"
    for name in ("database ", "web "):
        stage.supervisor.start([program(name.strip(), code.format(str(diary), name))])

    stage.supervisor.stop()

    assert diary.read_text() == "web database "
    assert {child.state for child in stage.supervisor.children} == {"stopped"}


def test_a_process_that_will_not_stop_is_killed_after_its_grace(stage):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
    stage.supervisor.start([program("web", deaf, grace_seconds=0.2)])
    process = stage.child("web").process

    stage.supervisor.stop()

    assert process.returncode == -signal.SIGKILL


def test_a_second_signal_ends_all_patience(stage):
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
    stage.supervisor.start([program("web", deaf, grace_seconds=600)])
    process = stage.child("web").process

    def impatient(*_):
        stage.supervisor.stops_asked += 1

    before = signal.signal(signal.SIGALRM, impatient)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    stage.supervisor.stop()
    signal.signal(signal.SIGALRM, before)

    assert process.returncode == -signal.SIGKILL


def test_a_signal_during_the_start_ends_the_waiting(stage):
    stage.supervisor.stops_asked = 1

    with pytest.raises(StopAsked):
        stage.supervisor.start([program("web", ready=lambda _: False)])


def test_a_single_run_is_awaited_and_its_failure_explained(stage):
    stage.supervisor.run_once(program("migrate", "print('fine')"))

    with pytest.raises(CannotStart, match="migrate ended with exit code 4: wrong password"):
        stage.supervisor.run_once(program("migrate", "print('wrong password'); raise SystemExit(4)"))


def test_large_logs_are_cut_while_their_processes_run(stage, monkeypatch):
    monkeypatch.setattr(logs, "LARGEST_BYTES", 100)
    monkeypatch.setattr(supervisor, "LOG_CHECK_SECONDS", 0)
    stage.supervisor.start([program("web", f"print('x' * 500); {WAITS}")])

    stage.until(lambda: stage.child("web").log.stat().st_size == 0)

    assert stage.child("web").log.with_suffix(".log.1").stat().st_size > 500
    assert stage.child("web").state == "running"


@pytest.mark.parametrize(
    ("code", "text"),
    [(0, "ended with exit code 0"), (-11, "was ended by SIGSEGV"), (-250, "was ended by signal 250")],
)
def test_an_exit_is_described_in_words(code, text):
    assert describe_exit(code) == text
