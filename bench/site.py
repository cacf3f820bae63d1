"""A running web server, asked over HTTP as a browser asks: one signed-in person, one connection kept open, gzip taken."""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil


@dataclass
class Site:
    """A running web server and the cookies of one person. One connection, kept open."""

    port: int
    cookie: str
    _socket: socket.socket | None = None
    _rest: bytes = b""

    def get(self, path: str) -> tuple[int, bytes]:
        return self.send(f"GET {path} HTTP/1.1\r\n")

    def send(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body as it came, still packed."""
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = f"{head}Host: 127.0.0.1\r\nCookie: {self.cookie}\r\nAccept-Encoding: gzip\r\n"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self._socket.sendall(f"{lines}{length}\r\n".encode() + body)
        return self._answer()

    def _answer(self) -> tuple[int, bytes]:
        assert self._socket
        data = self._rest
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        length = int(fields[b"content-length"])
        while len(body) < length:
            body += self._more()
        self._rest = body[length:]
        if fields.get(b"connection") == b"close":
            self._socket.close()
            self._socket = None
        return int(head.split(b" ", 2)[1]), body[:length]

    def _more(self) -> bytes:
        assert self._socket
        block = self._socket.recv(1 << 18)
        if not block:
            raise ConnectionError("the server closed the connection")
        return block


@dataclass
class Case:
    """Pages of one kind."""

    name: str
    paths: list[str]
    milliseconds: list[float] = field(default_factory=list)
    largest_bytes: int = 0

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.milliseconds, n=20)[-1]


def measure(site: Site, case: Case, requests: int) -> None:
    for path in case.paths:
        expect_page(site, path)
    for number in range(requests):
        began = time.perf_counter()
        body = expect_page(site, case.paths[number % len(case.paths)])
        case.milliseconds.append(1000 * (time.perf_counter() - began))
        case.largest_bytes = max(case.largest_bytes, len(body))


def expect_page(site: Site, path: str) -> bytes:
    status, body = site.get(path)
    if status != 200:
        raise RuntimeError(f"{path} answered {status}")
    return body


def cookie_of(name: str) -> str:
    """A session as signing in makes it."""
    from django.conf import settings
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from lionweb.models import User

    person, session = User.objects.get(username=name), SessionStore()
    session[SESSION_KEY] = str(person.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = person.get_session_auth_hash()
    session.create()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}; csrftoken={'c' * 32}"


def memory_of(pid: int) -> int:
    """Bytes that the web server's processes hold for themselves (PSS, where shared pages count once)."""
    server = psutil.Process(pid)
    return sum(one.memory_full_info().pss for one in [server, *server.children(recursive=True)])


@contextmanager
def running_site(folder: Path, build: Callable[[], None]) -> Iterator[tuple[int, int]]:
    """Database, queue and web server of the folder as ./lion up starts them: the port and the server's pid."""
    from lionweb.local import folders, listener, programs, running
    from lionweb.local.stack import Plan, child_environment
    from lionweb.local.supervisor import Supervisor

    folders.prepare(folder)
    plan = Plan(folder, teacher="none", environment={**os.environ, "LIONWEB_HOME": str(folder)})
    supervisor = Supervisor(folder, lambda _: None, lambda _: None)
    with running.held_lock(folder), closing(listener.listen("127.0.0.1", 0)) as listening:
        try:
            supervisor.start(plan.services())
            supervisor.run_once(programs.prepare_program(child_environment(plan)))
            build()
            supervisor.start([programs.web_program(listening, child_environment(plan))])
            web = next(child for child in supervisor.children if child.program.name == "web")
            assert web.process
            yield listening.getsockname()[1], web.process.pid
        finally:
            supervisor.stop()
            folders.drop_short(folder)
