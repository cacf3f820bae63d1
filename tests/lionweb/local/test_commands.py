import json
import os

import pytest
from django.core.management import CommandError, call_command

from lionweb.local import folders, home, listener, running
from lionweb.management.commands import test as checks
from lionweb.management.commands import worker


@pytest.fixture(autouse=True)
def _own_folder(folder, monkeypatch):
    monkeypatch.setenv("LIONWEB_HOME", str(folder))


def test_up_with_a_taken_port_says_so_and_ends_with_2(folder):
    with listener.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CommandError, match=f"Port {port} on 127.0.0.1 is taken") as raised:
            call_command("up", port=port)

    assert raised.value.returncode == 2
    assert not running.is_held(folder)


def test_up_with_a_folder_that_cannot_be_written_ends_with_2(folder, monkeypatch):
    folder.touch()
    monkeypatch.setenv("LIONWEB_HOME", str(folder / "data"))

    with pytest.raises(CommandError, match="cannot be written") as raised:
        call_command("up", port=0)

    assert raised.value.returncode == 2


def test_a_second_up_is_refused(folder):
    folders.prepare(folder)
    with running.held_lock(folder), pytest.raises(CommandError, match="already runs"):
        call_command("up", port=0)


def test_status_without_a_stack_ends_with_3(capsys, folder):
    with pytest.raises(SystemExit) as raised:
        call_command("status")

    assert raised.value.code == 3
    assert capsys.readouterr().out == f"Nothing runs with the data folder {folder}.\n"


def test_status_shows_what_runs(capsys, folder):
    folders.prepare(folder)
    with running.held_lock(folder):
        running.write_state(folder, "http://127.0.0.1:8000", 0.0, [])
        state = running.read_state(folder)
        web = {"pid": 12, "created": 0.0, "restarts": 2, "state": "running", "log": "x"}
        home.up_state(folder).write_text(json.dumps({**state, "processes": {"web": web}}))
        call_command("status")
        call_command("status", json=True)

    text, shown = capsys.readouterr().out.strip().rsplit("\n", 1)
    assert text.startswith(f"LionWeb is at http://127.0.0.1:8000 (process {os.getpid()}")
    assert text.endswith("web             running   pid 12       restarts 2")
    assert json.loads(shown)["running"] is True


def test_a_state_file_of_the_past_is_not_taken_for_a_stack(folder, capsys):
    folders.prepare(folder)
    running.write_state(folder, "http://127.0.0.1:8000", 0.0, [])

    with pytest.raises(SystemExit):
        call_command("status")


def test_stop_without_a_stack_is_no_failure(capsys, folder):
    call_command("stop")

    assert capsys.readouterr().out == f"Nothing runs with the data folder {folder}.\n"


@pytest.mark.parametrize("queues", ["gpu,cpu", " , "])
def test_a_worker_of_unknown_queues_is_refused(queues):
    with pytest.raises(CommandError, match="Choose from: api, gpu, default"):
        call_command("worker", queues=queues, skip_checks=True)


def test_a_worker_becomes_celery_with_the_threads_its_queues_need(monkeypatch):
    ran = []
    monkeypatch.setattr(worker.os, "execv", lambda path, argv: ran.extend(argv))
    monkeypatch.setattr(worker.os, "chdir", lambda path: None)

    call_command("worker", queues="api, gpu", skip_checks=True)

    line = " ".join(ran)
    assert "celery -A worker.celery_app worker -Q api,gpu --pool threads --concurrency 5 -n worker-api-gpu@%h" in line


def test_a_failing_check_is_named_with_what_it_said(capsys):
    command = checks.Command()

    assert command.passes("fine", ["true"], dict(os.environ))
    assert not command.passes("lint", ["sh", "-c", "echo unused import; exit 1"], dict(os.environ))

    out = capsys.readouterr().out
    assert "fine: passed" in out
    assert "lint: FAILED" in out
    assert "unused import" in out
