from pathlib import Path

import pytest

from lionweb.local import folders, listener, programs, stack, threads
from lionweb.local.problems import CannotStart
from lionweb.local.program import Child
from lionweb.local.stack import Plan


def names(plan):
    return [program.name for program in plan.services()]


def test_database_and_queue_are_started_unless_they_run_elsewhere(folder):
    assert names(Plan(folder, environment={})) == ["postgres", "valkey"]
    assert names(Plan(folder, environment={"DATABASE_URL": "postgres://elsewhere/x"})) == ["valkey"]
    assert names(Plan(folder, environment={"BROKER_URL": "redis://elsewhere"})) == ["postgres"]
    assert names(Plan(folder, environment={"DATABASE_URL": " ", "BROKER_URL": ""})) == ["postgres", "valkey"]


def test_the_bundled_teacher_steps_aside_for_another():
    assert Plan(Path("/x"), environment={}).has_teacher()
    assert not Plan(Path("/x"), environment={"TEACHER_BASE_URL": "https://api.example.org/v1"}).has_teacher()
    assert not Plan(Path("/x"), teacher="none", environment={}).has_teacher()


def test_the_teacher_keeps_its_port_over_restarts(folder):
    folders.prepare(folder)
    port = stack.teacher_port(folder)

    assert stack.teacher_port(folder) == port
    with listener.listen("127.0.0.1", port):
        assert stack.teacher_port(folder) != port


def test_there_is_one_worker_a_queue_and_the_gpu_has_one_thread():
    assert {worker.queues: worker.concurrency for worker in programs.WORKERS} == {"api": 4, "gpu": 1, "default": 2}


def test_a_worker_is_ready_once_it_takes_messages(tmp_path):
    child = Child(programs.worker_program(programs.WORKERS[0], {}), tmp_path / "log")
    child.log.write_text("celery@x starts\n")
    assert not programs.consumes(child)

    child.log.write_text("INFO celery.apps.worker: worker-api@host ready.\n")
    assert programs.consumes(child)


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("0", threads.usable_cores()), ("", threads.usable_cores())])
def test_threads_are_all_cores_unless_told(monkeypatch, value, expected):
    monkeypatch.setenv("LIONWEB_THREADS", value)
    assert threads.thread_count() == expected


def test_a_wrong_number_of_threads_is_explained(monkeypatch):
    monkeypatch.setenv("LIONWEB_THREADS", "many")
    with pytest.raises(CannotStart, match="LIONWEB_THREADS is 'many'. Set it to a whole number"):
        threads.thread_count()
