"""Make the folders of an installation, and refuse early where it could not live."""

import os
import shutil
import stat
from pathlib import Path

from lionweb.local import home
from lionweb.local.problems import CannotStart

LEAST_FREE_BYTES = 500_000_000


def prepare(folder: Path) -> None:
    """The data folder with its run and log folders, writable and with room. Raises CannotStart."""
    try:
        for path in (folder, home.run_folder(folder), home.log_folder(folder)):
            path.mkdir(mode=private_mode(), parents=True, exist_ok=True)
            check_writable(path)
        if home.socket_folder(folder) == home.short_folder(folder):
            make_private(home.short_folder(folder))
    except OSError as error:
        raise CannotStart(
            f"The data folder {folder} cannot be written: {error.strerror}. "
            "Mend its permissions, or set LIONWEB_HOME to a folder you own."
        ) from error
    check_room(folder)


def check_writable(path: Path) -> None:
    probe = path / f".probe-{os.getpid()}"
    probe.touch()
    probe.unlink()


def check_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise CannotStart(
            f"Only {free // 1_000_000} MB are free on the disk of {folder}; at least {LEAST_FREE_BYTES // 1_000_000} MB "
            "are needed. Free some space, or set LIONWEB_HOME to a folder on another disk."
        )


def make_private(path: Path) -> None:
    """A folder below /tmp that nobody else can have prepared for us."""
    path.mkdir(mode=private_mode(), exist_ok=True)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise CannotStart(f"{path} belongs to someone else. Remove it, or set LIONWEB_HOME to a shorter path.")
    path.chmod(private_mode())


def private_mode() -> int:
    """Nobody else may enter; but where root runs us, the account of PostgreSQL passes to its own folder inside."""
    return 0o711 if os.geteuid() == 0 else 0o700


def drop_short(folder: Path) -> None:
    """Remove the short folder of a data folder, once nothing runs there; the next start makes it again."""
    if home.socket_folder(folder) != home.run_folder(folder):
        shutil.rmtree(home.socket_folder(folder), ignore_errors=True)
