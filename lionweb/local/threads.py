"""How many threads a model may use on this machine."""

import os

from lionweb.local.problems import CannotStart


def thread_count() -> int:
    """LIONWEB_THREADS, or every core this process may run on. Raises CannotStart."""
    configured = os.environ.get("LIONWEB_THREADS", "").strip() or "0"
    if not configured.isdecimal():
        raise CannotStart(f"LIONWEB_THREADS is {configured!r}. Set it to a whole number, or unset it.")
    return int(configured) or usable_cores()


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
