"""The parent starts the process, passes its events on and says in plain words how it ended."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill import training_client
from distill.errors import DiskFull, ModelLoadError, OutOfMemory, SettingsError, TrainingError
from distill.training_client import TrainingStopped, gpu_count, rebuilt, run_training
from distill.training_job import TrainingJob
from distill.training_process import sole_use


@pytest.fixture
def job(tmp_path):
    return TrainingJob(
        base="bundled",
        home=str(tmp_path),
        adapter=None,
        output=str(tmp_path / "checkpoint"),
        work=str(tmp_path / "work"),
        train_file=str(tmp_path / "train.jsonl"),
        heldout_file=None,
        settings={},
        template="auto",
        system_prompt="",
        seed=0,
        threads=1,
    )


@pytest.fixture
def child(monkeypatch):
    """Let `code` stand in for the training process."""

    def use(code):
        monkeypatch.setattr(training_client, "_launcher", lambda gpus: [sys.executable, "-c", code])

    return use


def run(job, events=None, should_stop=lambda: False):
    return run_training(job, on_event=(events if events is not None else []).append, should_stop=should_stop)


def test_events_are_passed_on_in_order_and_the_last_one_is_returned(job, child):
    child("""print('{"event": "start"}'); print('{"event": "done", "sha256": "ab"}')""")
    events = []

    done = run(job, events)

    assert [event["event"] for event in events] == ["start", "done"]
    assert done == {"event": "done", "sha256": "ab"}


def test_the_job_that_the_process_reads_is_the_one_given(job, child):
    child("""import sys, shutil; shutil.copy(sys.argv[2], sys.argv[2] + '.seen'); print('{"event": "done"}')""")

    run(job)

    assert TrainingJob.read(Path(job.work) / "job.json.seen") == job


def test_an_error_event_becomes_the_error_it_describes(job, child):
    child(
        """print('{"event": "error", "error": {"code": "disk_full", "cause": "Full.", "advice": "Free it."}}')
raise SystemExit(1)"""
    )

    with pytest.raises(DiskFull) as raised:
        run(job)

    assert (raised.value.cause, raised.value.advice) == ("Full.", "Free it.")


def test_every_known_error_survives_the_way_and_an_unknown_one_becomes_a_training_error():
    for error in (ModelLoadError("A.", "B."), OutOfMemory("A.", "B."), SettingsError("training.epochs", "is odd.")):
        again = rebuilt(error.as_dict())
        assert (type(again), str(again)) == (type(error), str(error))
    assert type(rebuilt({"code": "?", "cause": "A.", "advice": ""})) is TrainingError


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "sys.exit(137)"])
def test_a_process_killed_by_the_system_is_out_of_memory_with_advice(job, child, end):
    child(f"import os, sys; {end}")

    with pytest.raises(OutOfMemory, match="gradient_checkpointing"):
        run(job)


def test_a_crash_names_the_last_line_of_its_log(job, child):
    child("raise KeyError('lost')")

    with pytest.raises(TrainingError, match="code 1: KeyError: 'lost'.*training.log"):
        run(job)


def test_a_wish_to_stop_reaches_the_process_which_may_save_first(job, child):
    child(
        """import signal, sys, time
def save(*_):
    open(sys.argv[2] + '.saved', 'w').close()
    sys.exit(75)
signal.signal(signal.SIGTERM, save)
print('{"event": "start"}', flush=True)
time.sleep(60)"""
    )
    events = []

    with pytest.raises(TrainingStopped, match="resume point"):
        run(job, events, should_stop=lambda: bool(events))

    assert (Path(job.work) / "job.json.saved").exists()


def test_a_process_that_does_not_heed_the_wish_is_killed(job, child, monkeypatch):
    monkeypatch.setattr(training_client, "STOP_PATIENCE_SECONDS", 0.1)
    child(
        """import signal, time; signal.signal(15, signal.SIG_IGN); print('{"event": "start"}', flush=True); time.sleep(60)"""
    )
    events = []

    with pytest.raises(TrainingStopped):
        run(job, events, should_stop=lambda: bool(events))


def test_a_fault_of_the_listener_leaves_no_process_behind(job, child):
    child("""import os; from distill.training_process import die_with_parent
die_with_parent()
print('{"event": "start", "pid": %d}' % os.getpid(), flush=True)
import time; time.sleep(60)""")
    seen = []

    def listener(event):
        seen.append(event["pid"])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_training(job, on_event=listener, should_stop=lambda: False)

    assert not alive(seen[0])


def test_the_process_dies_with_its_parent_even_by_kill_9(job, tmp_path):
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"""import sys
from distill import training_client
from distill.training_job import TrainingJob
code = "import os, time; from distill.training_process import die_with_parent; die_with_parent();" \\
       "print('{{\\"event\\": \\"start\\", \\"pid\\": %d}}' % os.getpid(), flush=True); time.sleep(60)"
training_client._launcher = lambda gpus: [sys.executable, "-c", code]
training_client.run_training(TrainingJob(**{job.__dict__!r}),
    on_event=lambda event: print(event["pid"], flush=True), should_stop=lambda: False)""",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = int(parent.stdout.readline())

    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    deadline = time.monotonic() + 30
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(child)


def test_a_work_folder_has_one_process_at_a_time(tmp_path):
    with sole_use(tmp_path), pytest.raises(TrainingError, match="Another process"), sole_use(tmp_path, 0.1):
        pass

    with sole_use(tmp_path, 0.1):
        pass


def test_gpus_are_counted_without_torch(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    assert gpu_count() == 2
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", "/nonexistent")
    assert gpu_count() == 0


def test_several_gpus_are_used_through_accelerate():
    assert training_client._launcher(1) == [sys.executable, "-m"]
    assert "accelerate.commands.launch" in training_client._launcher(4)


def alive(pid):
    """Running, and not merely waiting to be collected by whoever inherited it."""
    try:
        return "State:\tZ" not in open(f"/proc/{pid}/status").read()
    except (FileNotFoundError, ProcessLookupError):
        return False
