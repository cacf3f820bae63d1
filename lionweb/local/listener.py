"""The listening socket of the web server, held by the supervisor so that a restart of the server refuses nobody."""

import errno
import socket
from collections.abc import Container
from http.client import HTTPConnection, HTTPException

from lionweb.local.problems import CannotStart


def listen(host: str, port: int) -> socket.socket:
    """A socket on which clients queue from now on; port 0 takes any free one. Raises CannotStart."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        raise CannotStart(describe(host, port, error)) from error


def describe(host: str, port: int, error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"Port {port} on {host} is taken. Stop what listens there, or use another: ./lion up --port {port + 1}"
    if number == errno.EACCES:
        return f"Port {port} is reserved for root. Use one above 1023: ./lion up --port 8000"
    return f"Cannot listen on {host}, port {port}: {error}. Check --host and --port."


def url_of(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{reachable}:{port}"


def answers(url: str, path: str = "/", *, accepted: Container[int] = range(100, 600)) -> bool:
    """Whether an HTTP server answers there with one of these statuses; by default whatever it says."""
    connection = HTTPConnection(url.removeprefix("http://"), timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status in accepted
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def free_port(preferred: int = 0) -> int:
    """The preferred port of 127.0.0.1 if nobody listens there, else any free one."""
    for port in (preferred, 0):
        try:
            with socket.create_server(("127.0.0.1", port)) as probe:
                return int(probe.getsockname()[1])
        except (OSError, OverflowError):
            continue
    raise CannotStart("No port of 127.0.0.1 is free. End some of the programs that listen there.")
