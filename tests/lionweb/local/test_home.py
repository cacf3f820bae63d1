from pathlib import Path

import dj_database_url
from kombu import Connection
from psycopg.conninfo import conninfo_to_dict

from lionweb.local import home


def test_the_data_folder_is_beside_the_code_unless_the_environment_moves_it(monkeypatch, tmp_path):
    monkeypatch.delenv("LIONWEB_HOME", raising=False)
    assert home.home() == home.REPOSITORY / "var"

    monkeypatch.setenv("LIONWEB_HOME", f"{tmp_path}/a/../my data")
    assert home.home() == tmp_path / "my data"


def test_sockets_lie_in_the_data_folder_when_their_path_is_short():
    assert home.socket_folder(Path("/srv/lionweb")) == Path("/srv/lionweb/run")


def test_a_long_path_gets_a_short_socket_folder_of_its_own():
    long = Path("/" + "x" * 120)
    other = Path("/" + "y" * 120)

    assert len(str(home.valkey_socket(long))) < 60
    assert home.socket_folder(long) != home.socket_folder(other)
    assert home.socket_folder(long) == home.socket_folder(long)


def test_the_length_of_a_path_is_counted_in_bytes():
    assert home.socket_folder(Path("/" + "é" * 45)) != Path("/" + "é" * 45) / "run"


def test_urls_survive_spaces_capitals_and_accents_in_the_path():
    folder = Path("/tmp/My Data é")

    django = dj_database_url.parse(home.postgres_url(folder))
    libpq = conninfo_to_dict(home.postgres_url(folder))
    broker = Connection(home.broker_url(folder))

    assert django["OPTIONS"]["host"] == libpq["host"] == "/tmp/My Data é/run/postgres"
    assert django["NAME"] == libpq["dbname"] == "lionweb"
    assert broker.as_uri() == "redis+socket:///tmp/My Data é/run/valkey.sock"
