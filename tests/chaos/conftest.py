"""One stack with short heartbeats, a mock teacher and a tiny student, for all tests of this folder."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psycopg
import pytest

from distill.settings import (
    ExperimentSettings,
    GeneratorSettings,
    PoolSettings,
    StudentSettings,
    TeacherSettings,
    TrainingSettings,
)
from lionweb.local.home import REPOSITORY, postgres_url
from lionweb.local.stack import running_stack
from tests.mock_server import mock_openai

QUICK = {"HEARTBEAT_SECONDS": "0.3", "LEASE_SECONDS": "4", "SWEEP_SECONDS": "1", "LIONWEB_THREADS": "1"}
CONCURRENCY = 4


class RunningStack:
    """A stack as a user has it: other processes, reached by its folder."""

    def __init__(self, stack, mock, folder):
        self.stack, self.mock, self.folder = stack, mock, folder

    @property
    def environment(self):
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "BROKER_URL")}
        return {**kept, **QUICK, "LIONWEB_HOME": str(self.folder)}

    def inside(self, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "tests.chaos.inside", *map(str, arguments)],
            cwd=REPOSITORY,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    def query(self, sql, *values):
        with psycopg.connect(postgres_url(self.folder), autocommit=True) as connection:
            return connection.execute(sql, values).fetchone()

    def number(self, sql, *values):
        """A count, or 0 while the database is away."""
        try:
            row = self.query(sql, *values)
        except psycopg.Error:
            return 0
        return row[0] if row else 0

    def wait_for(self, condition, *, seconds=90, what="the moment"):
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what} did not come"
            time.sleep(0.01)

    def kill(self, name):
        pid = self.stack.pid_of(name)
        os.kill(pid, signal.SIGKILL)
        self.wait_for(lambda: self._restarted(name, pid), what=f"the restart of {name}")

    def _restarted(self, name, old):
        one = self.stack.state.get("processes", {}).get(name, {})
        return one.get("pid") not in (None, old)

    def wait_until_finished(self, experiment, *, seconds=240):
        """Without help: nothing but looking."""
        self.wait_for(lambda: self._is_over(experiment), seconds=seconds, what=f"the end of experiment {experiment}")

    def _is_over(self, experiment):
        time.sleep(0.2)
        planned = "SELECT planned_iterations FROM lionweb_experiment WHERE id = %s"
        done = "SELECT count(*) FROM lionweb_iteration WHERE experiment_id = %s AND finished_at IS NOT NULL"
        failed = (
            "SELECT count(*) FROM lionweb_stage s JOIN lionweb_iteration i ON i.id = s.iteration_id "
            "WHERE i.experiment_id = %s AND s.status = 'failed'"
        )
        assert self.number(failed, experiment) == 0, self.inside("stages", experiment)
        return 0 < self.number(planned, experiment) == self.number(done, experiment)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    from tests.tiny_models import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def settings_file(tmp_path_factory, tiny_model):
    settings = ExperimentSettings(
        teacher=TeacherSettings(temperature=0.0),
        student=StudentSettings(base=str(tiny_model), temperature=0.0, max_new_tokens=48, batch_size=4),
        training=TrainingSettings(
            epochs=3, batch_size=2, learning_rate=1e-3, max_length=256, save_every_steps=5, precision="fp32"
        ),
        generator=GeneratorSettings(hard=8, easy=8),
        pools=PoolSettings(train=30, cache=30, heldout=8),
        iterations=1,
    )
    path = tmp_path_factory.mktemp("settings") / "settings.json"
    path.write_text(json.dumps(settings.to_json()))
    return path


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    folder = Path(tmp_path_factory.mktemp("home"))
    cleared = {"DATABASE_URL": "", "BROKER_URL": "", "TEACHER_BASE_URL": ""}
    with (
        mock_openai("--latency-ms", "300") as mock,
        running_stack(folder, teacher="none", env={**QUICK, **cleared}) as running,
    ):
        yield RunningStack(running, mock, folder)


def begin(stack, settings_file, model, concurrency=CONCURRENCY):
    urllib.request.urlopen(urllib.request.Request(f"{stack.mock.base_url[:-3]}/reset", method="POST"), timeout=10)
    return stack.inside("begin", model, stack.mock.base_url, settings_file, concurrency)


@pytest.fixture(scope="session")
def undisturbed(stack, settings_file):
    experiment = begin(stack, settings_file, "undisturbed")
    stack.wait_until_finished(experiment)
    stats = stack.mock.stats()
    assert stats["overspend"] == 0
    return without_names(stack.inside("tables", experiment))


def without_names(tables):
    return {name: rows for name, rows in tables.items() if name != "at"}
