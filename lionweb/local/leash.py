"""Run a command that does not outlive the process that started it, and, where asked, as another user.

Run by path (`python -I -S leash.py ...`), never imported by what it starts: it needs the standard library only and is
gone after exec. The kernel delivers the death signal when the parent thread ends, however it ends (Linux only;
elsewhere the clean-up at the next start finds what is left).
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
REFUSED = 126


def leash(
    argv: Sequence[str],
    *,
    death_signal: signal.Signals = signal.SIGKILL,
    user: tuple[int, int] | None = None,
    open_doors: bool = False,
) -> list[str]:
    """The command line that runs argv on a leash held by the calling process.

    user is (uid, gid) to become; open_doors lets that user pass folders that are closed to it.
    """
    uid, gid = user or (-1, -1)
    head = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(death_signal))]
    return [*head, str(uid), str(gid), str(int(open_doors)), *argv]


def run(parent: int, death_signal: int, uid: int, gid: int, open_doors: bool, argv: list[str]) -> None:
    if uid >= 0:
        become(uid, gid, open_doors)
    if sys.platform == "linux":
        # After the change of user, which clears it.
        prctl(PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:
        sys.exit(f"The process that asked for {argv[0]} has ended already.")
    try:
        os.execv(argv[0], argv)
    except OSError as error:
        sys.stderr.write(f"{argv[0]} does not start: {error.strerror}\n")
        sys.exit(REFUSED)


def become(uid: int, gid: int, open_doors: bool) -> None:
    if open_doors:
        prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(0o077)
    if open_doors:
        keep_capability(CAP_DAC_OVERRIDE)


def keep_capability(capability: int) -> None:
    """Keep one capability of root across exec: the only one that lets a server reach files below /root."""
    bit = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # Two 32-bit halves of effective, permitted, inheritable.
    data = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    if ctypes.CDLL(None, use_errno=True).capset(header, data) != 0:
        refuse()
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def prctl(option: int, first: int, second: int = 0) -> None:
    arguments = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    if ctypes.CDLL(None, use_errno=True).prctl(option, *arguments) != 0:
        refuse()


def refuse() -> None:
    sys.stderr.write(f"The system refuses to hold this process on a leash: {os.strerror(ctypes.get_errno())}\n")
    sys.exit(REFUSED)


if __name__ == "__main__":
    settings = [int(value) for value in sys.argv[1:6]]
    run(settings[0], settings[1], settings[2], settings[3], bool(settings[4]), sys.argv[6:])
