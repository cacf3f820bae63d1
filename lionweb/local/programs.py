"""The programs of one machine's stack: how each is called, and how it is known to be ready."""

import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lionweb.local import home, listener, valkey
from lionweb.local.postgres import Postgres, server_environment
from lionweb.local.program import Child, Program
from lionweb.local.threads import thread_count

MANAGE = str(home.REPOSITORY / "manage.py")


@dataclass(frozen=True)
class Worker:
    """One Celery worker process. The queue gpu has one thread: two trainings at once would share one memory."""

    name: str
    queues: str
    concurrency: int


WORKERS = (Worker("worker-api", "api", 4), Worker("worker-gpu", "gpu", 1), Worker("worker-default", "default", 2))


def postgres_program(server: Postgres) -> Program:
    return Program(
        "postgres",
        server.argv(),
        ready=lambda _: server.answers(),
        prepare=server.prepare,
        environment=server_environment(),
        working_folder=Path("/"),
        # Both mean: end the sessions and write everything down, now.
        stop_signal=signal.SIGINT,
        death_signal=signal.SIGINT,
        grace_seconds=20.0,
        user=server.account.user,
        open_doors=bool(server.closed_doors),
    )


def valkey_program(folder: Path) -> Program:
    return Program(
        "valkey",
        valkey.argv(folder),
        ready=lambda _: valkey.answers(folder),
        prepare=lambda: valkey.prepare(folder),
        death_signal=signal.SIGTERM,
    )


def prepare_program(environment: Mapping[str, str]) -> Program:
    return Program("prepare", [sys.executable, MANAGE, "prepare"], environment=environment)


def teacher_program(folder: Path, port: int) -> Program:
    place = ["--host", "127.0.0.1", "--port", str(port), "--state-file", str(home.teacher_state(folder))]
    work = ["--threads", str(thread_count()), "--parallel", "16", "--parent-pid", str(os.getpid())]
    return Program(
        "teacher",
        [sys.executable, "-m", "distill.teacher_server", *place, *work],
        # It answers 503 while it loads the weights.
        ready=lambda _: listener.answers(f"http://127.0.0.1:{port}", "/v1/models", accepted=range(200, 300)),
    )


def celery_argv(queues: str, concurrency: int, name: str) -> list[str]:
    work = ["-Q", queues, "--pool", "threads", "--concurrency", str(concurrency), "-n", f"{name}@%h"]
    # Workers of one broker need not know of each other: less traffic, and a quicker start.
    return [*celery(), "worker", *work, "--loglevel", "INFO", "--without-gossip", "--without-mingle"]


def celery() -> list[str]:
    return [sys.executable, "-m", "celery", "-A", "worker.celery_app"]


def worker_program(worker: Worker, environment: Mapping[str, str]) -> Program:
    argv = celery_argv(worker.queues, worker.concurrency, worker.name)
    return Program(worker.name, argv, ready=consumes, environment=environment)


def consumes(child: Child) -> bool:
    """Celery says so in its log, once it takes messages."""
    return f"{child.program.name}@" in child.said() and " ready." in child.said()


def beat_program(folder: Path, environment: Mapping[str, str]) -> Program:
    schedule = ["--schedule", str(home.run_folder(folder) / "beat-schedule"), "--pidfile="]
    return Program("beat", [*celery(), "beat", "--loglevel", "INFO", *schedule], environment=environment)


def web_program(listening: socket.socket, environment: Mapping[str, str]) -> Program:
    descriptor = listening.fileno()
    server = ["-b", f"fd://{descriptor}", "--workers", "2", "--threads", "4", "--worker-class", "gthread", "--preload"]
    # No control socket: its default place is shared by all installations of a user.
    limits = ["--timeout", "120", "--graceful-timeout", "5", "--no-control-socket"]
    return Program(
        "web",
        [sys.executable, "-m", "gunicorn", *server, *limits, "lionweb.wsgi:application"],
        ready=lambda _: listener.answers(listener.url_of(listening)),
        environment=environment,
        descriptors=(descriptor,),
    )
