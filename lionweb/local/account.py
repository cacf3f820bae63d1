"""Who runs PostgreSQL: it refuses root, so root lends it an unprivileged account that exists already."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from lionweb.local.problems import CannotStart

CANDIDATES = ("postgres", "nobody")


@dataclass(frozen=True)
class Account:
    """The account of a server process. user is None where nothing changes: it runs as whoever started us."""

    name: str
    user: tuple[int, int] | None = None

    def owns(self, path: Path) -> None:
        """Give one folder of ours to this account; never what lies above or beside it."""
        if self.user:
            os.chown(path, *self.user)

    def closed_doors(self, path: Path) -> list[Path]:
        """Folders on the way to path that are there and that this account may not enter."""
        if self.user is None:
            return []
        return [one for one in reversed(path.parents) if one.exists() and not enters(one.stat(), *self.user)]


def enters(status: os.stat_result, uid: int, gid: int) -> bool:
    if status.st_uid == uid:
        return bool(status.st_mode & stat.S_IXUSR)
    return bool(status.st_mode & (stat.S_IXGRP if status.st_gid == gid else stat.S_IXOTH))


def current_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        raise CannotStart(
            f"User id {os.getuid()} has no name on this machine, and PostgreSQL needs one. "
            "Run as a user of /etc/passwd, or set DATABASE_URL to a database that runs elsewhere."
        ) from None


def server_account() -> Account:
    if os.geteuid() != 0:
        return Account(current_name())
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, (entry.pw_uid, entry.pw_gid))
    raise CannotStart(
        "PostgreSQL refuses to run as root, and this machine has neither a user 'postgres' nor 'nobody' to lend it. "
        "Run as an ordinary user, or set DATABASE_URL to a database that runs elsewhere."
    )
