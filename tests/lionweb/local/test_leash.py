import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lionweb.local.leash import leash

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_the_command_replaces_the_leash_and_keeps_its_exit_code():
    done = subprocess.run(leash([sys.executable, "-c", "raise SystemExit(7)"]), check=False)

    assert done.returncode == 7


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a death signal")
def test_the_command_ends_when_its_holder_is_killed():
    script = f"import subprocess; from lionweb.local.leash import leash; p = subprocess.Popen(leash({SLEEP!r})); "
    script += "print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as holder:
        held = psutil.Process(int(holder.stdout.readline()))
        time.sleep(0.5)

        holder.send_signal(signal.SIGKILL)

        assert held.wait(10) != 0 or not held.is_running()


def test_a_command_whose_holder_is_gone_does_not_start():
    argv = leash([sys.executable, "-c", "print('ran')"])
    argv[argv.index(str(os.getpid()))] = "1"

    done = subprocess.run(argv, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "has ended already" in done.stderr


def test_a_missing_command_is_named():
    done = subprocess.run(leash(["/nowhere/server"]), capture_output=True, text=True, check=False)

    assert done.returncode == 126
    assert done.stderr == "/nowhere/server does not start: No such file or directory\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become someone else")
def test_root_lends_another_account_and_keeps_nothing_of_root():

    plain = subprocess.run(
        leash(["/bin/cat", "/proc/self/status"], user=(65534, 65534)), capture_output=True, text=True
    )
    passing = leash(["/bin/cat", "/proc/self/status"], user=(65534, 65534), open_doors=True)
    opened = subprocess.run(passing, capture_output=True, text=True, check=True)

    assert "Uid:\t65534\t65534\t65534\t65534" in plain.stdout
    assert "CapEff:\t0000000000000000" in plain.stdout
    assert "CapEff:\t0000000000000002" in opened.stdout
