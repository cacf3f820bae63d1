import os
import signal

import pytest
import redis
from kombu import Connection

from lionweb.local import folders, home, programs, valkey
from lionweb.local.problems import CannotStart
from lionweb.local.supervisor import Supervisor


@pytest.fixture
def supervisor(folder):
    folders.prepare(folder)
    supervisor = Supervisor(folder, print, lambda _: None)
    supervisor.start([programs.valkey_program(folder)])
    yield supervisor
    supervisor.stop()


def test_messages_pass_through_the_socket(supervisor, folder):
    with Connection(home.broker_url(folder)) as connection:
        queue = connection.SimpleQueue("bell")
        queue.put("ring")
        assert queue.get(timeout=5).payload == "ring"
        queue.close()


def test_it_is_reached_through_its_socket_only_and_writes_nothing(supervisor, folder):
    client = redis.Redis(unix_socket_path=str(home.valkey_socket(folder)), decode_responses=True)

    assert client.config_get("port") == {"port": "0"}
    assert client.config_get("save") == {"save": ""}
    assert home.valkey_socket(folder).stat().st_mode & 0o077 == 0


def test_a_killed_server_comes_back_at_the_same_place(supervisor, folder):
    os.kill(supervisor.children[0].process.pid, signal.SIGKILL)
    while supervisor.children[0].restarts == 0:
        supervisor.tend()
    supervisor.wait_ready(supervisor.children)

    assert valkey.answers(folder)


def test_nobody_answers_where_nothing_runs(folder):
    assert not valkey.answers(folder)


def test_a_missing_binary_is_explained(monkeypatch):
    monkeypatch.setenv("LIONWEB_VALKEY", "/nowhere/valkey-server")

    with pytest.raises(CannotStart, match="No Valkey server at /nowhere/valkey-server"):
        valkey.find_binary()
