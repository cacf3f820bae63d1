import os
from pathlib import Path

import pytest

from lionweb.local import account
from lionweb.local.account import Account
from lionweb.local.problems import CannotStart


@pytest.mark.parametrize(
    ("mode", "owner", "group", "expected"),
    [
        (0o700, 1000, 1000, True),
        (0o700, 5, 5, False),
        (0o710, 5, 1000, True),
        (0o701, 5, 1000, False),
        (0o701, 5, 5, True),
        (0o077, 1000, 1000, False),
    ],
)
def test_a_folder_is_entered_by_owner_group_or_others(mode, owner, group, expected):
    status = os.stat_result((mode, 0, 0, 0, owner, group, 0, 0, 0, 0))

    assert account.enters(status, 1000, 1000) is expected


def test_closed_folders_on_the_way_are_named(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o600)
    stranger = (os.getuid() + 4321, os.getgid() + 4321)

    doors = Account("stranger", stranger).closed_doors(closed / "data")

    assert closed in doors
    assert Path("/") not in doors


def test_whoever_runs_us_has_no_closed_doors(tmp_path):
    assert Account("me").closed_doors(tmp_path) == []


def test_an_ordinary_user_runs_the_server_as_itself(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert account.server_account() == Account(account.current_name())


def test_root_without_an_account_to_lend_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(account, "CANDIDATES", ("no-such-user",))

    with pytest.raises(CannotStart, match="Run as an ordinary user, or set DATABASE_URL"):
        account.server_account()


def test_a_user_without_a_name_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)

    with pytest.raises(CannotStart, match="User id 4000000 has no name"):
        account.current_name()
