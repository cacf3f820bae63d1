from collections import namedtuple

import pytest

from lionweb.local import folders, home
from lionweb.local.problems import CannotStart

Usage = namedtuple("Usage", "total used free")


def test_the_folders_are_made_and_may_be_there_already(tmp_path):
    folders.prepare(tmp_path / "a b")
    folders.prepare(tmp_path / "a b")

    assert (tmp_path / "a b" / "run").is_dir()
    assert (tmp_path / "a b" / "logs").is_dir()
    assert list((tmp_path / "a b" / "run").iterdir()) == []


def test_a_data_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(CannotStart, match="cannot be written: Not a directory. Mend its permissions, or set LIONWEB"):
        folders.prepare(tmp_path / "file" / "data")


def test_a_nearly_full_disk_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(folders.shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 20_000_000))

    with pytest.raises(CannotStart, match="Only 20 MB are free"):
        folders.prepare(tmp_path)


def test_a_short_folder_prepared_by_someone_else_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "SHORT_FOLDER_PARENT", tmp_path)
    long = tmp_path / ("x" * 120)
    home.short_folder(long).symlink_to("/etc")

    with pytest.raises(CannotStart, match="set LIONWEB_HOME to a shorter path"):
        folders.prepare(long)


def test_a_long_path_gets_its_short_folder_and_nobody_else_reads_it(tmp_path, monkeypatch):
    monkeypatch.setattr(home, "SHORT_FOLDER_PARENT", tmp_path)
    long = tmp_path / ("x" * 120)

    folders.prepare(long)

    assert home.socket_folder(long).is_dir()
    assert home.socket_folder(long).stat().st_mode & 0o066 == 0

    folders.drop_short(long)

    assert not home.socket_folder(long).exists()


def test_dropping_the_short_folder_never_touches_the_data(tmp_path):
    folders.prepare(tmp_path / "d")
    folders.drop_short(tmp_path / "d")

    assert (tmp_path / "d" / "run").is_dir()
