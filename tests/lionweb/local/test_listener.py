import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from lionweb.local import listener
from lionweb.local.problems import CannotStart


def test_a_taken_port_is_named_with_another_to_try():
    with listener.listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotStart, match=f"Port {port} on 127.0.0.1 is taken.*--port {port + 1}"):
            listener.listen("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 8000), ("127.0.0.1", 700_000)])
def test_an_impossible_address_is_explained(host, port):
    with pytest.raises(CannotStart, match="Check --host and --port"):
        listener.listen(host, port)


def test_the_url_is_one_a_browser_can_open():
    with listener.listen("0.0.0.0", 0) as everywhere:
        assert listener.url_of(everywhere) == f"http://127.0.0.1:{everywhere.getsockname()[1]}"


def test_nobody_answers_on_a_socket_that_only_listens(monkeypatch):
    with listener.listen("127.0.0.1", 0) as silent:
        url = listener.url_of(silent)
    assert not listener.answers(url)


@pytest.mark.parametrize(("accepted", "expected"), [(range(100, 600), True), (range(200, 300), False)])
def test_any_answer_counts_unless_told_otherwise(accepted, expected):
    class Refuses(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(500)

        def log_message(self, *_):
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), Refuses) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert listener.answers(f"http://127.0.0.1:{server.server_port}", accepted=accepted) is expected


def test_the_preferred_port_is_taken_only_if_it_is_free():
    free = listener.free_port()
    assert listener.free_port(free) == free

    with socket.create_server(("127.0.0.1", free)):
        assert listener.free_port(free) != free
