"""One log a process, of bounded size. Processes append to them directly, so that they never wait for the supervisor."""

import os
import shutil
from pathlib import Path

from lionweb.local import home

LARGEST_BYTES = 5_000_000


def log_of(folder: Path, name: str) -> Path:
    return home.log_folder(folder) / f"{name}.log"


def bound(log: Path) -> None:
    """Move a log that grew too large to NAME.log.1 and begin anew; its writers append, so they notice nothing."""
    try:
        if log.stat().st_size <= LARGEST_BYTES:
            return
        shutil.copyfile(log, log.with_suffix(".log.1"))
    except FileNotFoundError:
        return
    except OSError:
        # The disk is full: the old lines are given up for room.
        log.with_suffix(".log.1").unlink(missing_ok=True)
    os.truncate(log, 0)
