"""A database and a queue of their own, for as long as a block lasts; used by the tests."""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from lionweb.local import folders, home, running
from lionweb.local.stack import Plan
from lionweb.local.supervisor import Supervisor

ALL_HERE: Mapping[str, str] = MappingProxyType({})


@contextmanager
def temporary_services(say: Callable[[str], None]) -> Iterator[dict[str, str]]:
    """The environment that reaches them, with a data folder of its own.

    What DATABASE_URL or BROKER_URL name already is used instead.
    """
    with (
        tempfile.TemporaryDirectory(prefix="lionweb-") as name,
        running_services(Path(name).resolve(), say, environment=os.environ) as reached,
    ):
        yield {**reached, "LIONWEB_HOME": str(Path(name).resolve())}


@contextmanager
def running_services(
    folder: Path, say: Callable[[str], None], *, environment: Mapping[str, str] = ALL_HERE
) -> Iterator[dict[str, str]]:
    """PostgreSQL and Valkey of one data folder, unless the environment names others. Raises CannotStart."""
    folders.prepare(folder)
    supervisor = Supervisor(folder, say, lambda _: None)
    with running.held_lock(folder):
        try:
            supervisor.start(Plan(folder, environment=environment, durable=False).services())
            own = {"DATABASE_URL": home.postgres_url(folder), "BROKER_URL": home.broker_url(folder)}
            yield {name: environment.get(name, "").strip() or url for name, url in own.items()}
        finally:
            supervisor.stop()
            folders.drop_short(folder)
