"""With the real server: what it can do, and how it meets what a crash left behind."""

import os
import signal
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from lionweb.local import folders, home, postgres, programs
from lionweb.local.problems import CannotStart
from lionweb.local.services import running_services
from lionweb.local.supervisor import Supervisor


@pytest.fixture
def started(folder):
    """Starts servers of data folders, and stops them before the folder is removed."""
    supervisors = []

    def start(folder):
        folders.prepare(folder)
        supervisor = Supervisor(folder, print, lambda _: None)
        supervisors.append(supervisor)
        supervisor.start([programs.postgres_program(postgres.postgres_for(folder, durable=False))])
        return supervisor

    yield start
    for supervisor in supervisors:
        supervisor.stop()
        folders.drop_short(supervisor.folder)


@pytest.fixture(scope="module")
def shared():
    """The data folder of a server that several tests only look at."""
    with tempfile.TemporaryDirectory(prefix="lw ") as name, running_services(Path(name).resolve(), print):
        yield Path(name).resolve()


def ask(folder, query):
    with psycopg.connect(home.postgres_url(folder), autocommit=True) as connection:
        return connection.execute(query).fetchone()[0]


def test_the_database_is_there_and_knows_letters_of_all_languages(shared):
    assert ask(shared, "SELECT lower('ÉÜ Ж')") == "éü ж"
    with psycopg.connect(home.postgres_url(shared), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION pg_trgm")
        assert connection.execute("SELECT cardinality(show_trgm('日本語'))").fetchone()[0] > 0
    assert ask(shared, "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'lionweb'") == "UTF8"


def test_it_is_reached_through_its_socket_only(shared):
    assert ask(shared, "SHOW listen_addresses") == ""
    assert home.postgres_socket_folder(shared).stat().st_mode & 0o077 == 0
    rules = "SELECT string_agg(type || ' ' || auth_method, ',') FROM pg_hba_file_rules"
    assert ask(shared, rules) == "local peer"


def test_nothing_written_is_lost_when_the_server_is_killed(started, folder):
    supervisor = started(folder)
    with psycopg.connect(home.postgres_url(folder), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")

    os.kill(supervisor.children[0].process.pid, signal.SIGKILL)
    while supervisor.children[0].restarts == 0:
        supervisor.tend()
    supervisor.wait_ready(supervisor.children)

    assert ask(folder, "SELECT one FROM kept") == 1


def test_a_lock_file_that_names_some_living_process_does_not_stop_it(started, folder):
    started(folder).stop()
    stale = f"{os.getppid()}\n{home.postgres_data(folder)}\n1\n5432\n"
    (home.postgres_data(folder) / "postmaster.pid").write_text(stale)
    sockets = home.postgres_socket_folder(folder)
    (sockets / ".s.PGSQL.5432.lock").write_text(stale)

    started(folder)

    assert ask(folder, "SELECT 1") == 1


def test_a_server_left_over_from_a_crash_is_replaced(started, folder):
    first = started(folder)
    process = first.children[0].process

    postgres.postgres_for(folder).prepare()

    assert process.wait(10) is not None


def test_two_data_folders_are_two_databases(started, folder, shared):
    started(folder)

    with psycopg.connect(home.postgres_url(folder), autocommit=True) as connection:
        connection.execute("CREATE TABLE mine ()")

    assert ask(shared, "SELECT to_regclass('mine')") is None


def test_a_path_too_long_for_a_socket_works(started, folder):
    long = folder / ("long " * 20) / "data, with a comma"

    started(long)

    assert ask(long, "SELECT 1") == 1
    assert Path("/tmp") in home.postgres_socket_folder(long).parents


def test_data_of_another_version_is_left_alone(folder):
    folders.prepare(folder)
    home.postgres_data(folder).mkdir()
    (home.postgres_data(folder) / "PG_VERSION").write_text("9\n")

    with pytest.raises(CannotStart, match="was made by PostgreSQL 9, and PostgreSQL 18 is installed"):
        postgres.postgres_for(folder).prepare()


def test_files_of_someone_else_are_left_alone(folder):
    folders.prepare(folder)
    home.postgres_data(folder).mkdir()
    (home.postgres_data(folder) / "thesis.tex").touch()

    with pytest.raises(CannotStart, match="holds files but no database"):
        postgres.postgres_for(folder).prepare()


def test_an_interrupted_first_start_is_made_again_from_nothing(started, folder):
    folders.prepare(folder)
    half_made = home.postgres_data(folder).with_name("postgres.new")
    half_made.mkdir()
    (half_made / "PG_VERSION").write_text("18\n")

    started(folder)

    assert ask(folder, "SELECT 1") == 1
    assert not half_made.exists()


def test_missing_binaries_are_explained(monkeypatch):
    monkeypatch.setenv("LIONWEB_POSTGRES_BIN", "/nowhere")

    with pytest.raises(CannotStart, match="No PostgreSQL server in /nowhere. Mend LIONWEB_POSTGRES_BIN"):
        postgres.find_binaries()


def test_only_tests_give_up_durability(folder):
    lasting = postgres.postgres_for(folder).argv()
    hasty = postgres.postgres_for(folder, durable=False).argv()

    assert not any("fsync" in word for word in lasting)
    assert "-cfsync=off" in hasty


def test_the_callers_own_variables_do_not_reach_the_server(monkeypatch):
    monkeypatch.setenv("PGDATA", "/elsewhere")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")

    environment = postgres.server_environment()

    assert not {"PGDATA", "LC_ALL"} & environment.keys()
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root lends its account")
def test_run_by_root_below_a_closed_folder_it_still_works(started, folder):
    closed = folder.parent / "closed"
    closed.mkdir(mode=0o700)

    started(closed / "data")

    assert ask(closed / "data", "SELECT 1") == 1
    assert closed.stat().st_mode & 0o777 == 0o700
