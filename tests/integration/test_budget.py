"""The budget against a real client and the shared mock, which counts what a provider would bill."""

import time

import pytest

from distill.settings import (
    ExperimentSettings,
    GeneratorSettings,
    PoolSettings,
    RefereeSettings,
    StudentSettings,
    TeacherSettings,
)
from lionweb.models import ModelCall, Stage, StageEvent, StageStatus
from lionweb.services import controls
from lionweb.services.budget import raise_budget, spent_usd
from tests.factories import make_endpoint, make_experiment, make_pool
from tests.integration.live_worker import LiveWorker, play_the_student
from tests.mock_server import mock_openai

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

CONCURRENCY = 4
PRICES = {"input_usd_per_million": 1.0, "output_usd_per_million": 3.0}
SETTINGS = ExperimentSettings(
    teacher=TeacherSettings(temperature=0.0, max_tokens=110),
    student=StudentSettings(max_new_tokens=64),
    referee=RefereeSettings(max_tokens=256),
    pools=PoolSettings(train=24, cache=24, heldout=6),
    generator=GeneratorSettings(hard=6, easy=6),
    iterations=1,
)


@pytest.fixture(scope="module")
def mock():
    with mock_openai("--latency-ms", "15") as running:
        yield running


@pytest.fixture(autouse=True)
def _worker(monkeypatch):
    with LiveWorker() as worker:
        monkeypatch.setattr("lionweb.queue._send", worker.ring)
        play_the_student(monkeypatch)
        yield


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, list(StageEvent.objects.values_list("stage__kind", "message"))
        time.sleep(0.02)


def paused_stage(experiment):
    return Stage.objects.filter(iteration__experiment=experiment, status=StageStatus.PAUSED).first()


def is_over(experiment):
    return experiment.iterations.filter(finished_at__isnull=False).count() == 1


def test_it_pauses_in_the_middle_of_each_paying_stage_and_repeats_no_call(mock, alice):
    before = mock.stats()["overspend"]
    endpoint = make_endpoint("mock", base_url=mock.base_url, model="budget", max_concurrency=CONCURRENCY, **PRICES)
    experiment = make_experiment(alice, settings=SETTINGS, pool=make_pool(rows=40), endpoint=endpoint, budget_usd=0.003)
    controls.launch(experiment=experiment, actor=alice)
    met = []
    while True:
        wait_for(lambda: is_over(experiment) or paused_stage(experiment))
        stage = paused_stage(experiment)
        if stage is None:
            break
        assert stage.paused_for == "budget"
        experiment.refresh_from_db()
        spent = spent_usd(experiment=experiment)
        dearest = ModelCall.objects.filter(experiment=experiment).order_by("-cost_usd").first().cost_usd
        assert spent <= experiment.budget_usd + CONCURRENCY * dearest
        assert spent >= experiment.budget_usd - 0.0025, "it goes on as far as the money reaches"
        met.append(stage.kind)
        raise_budget(experiment=experiment, actor=alice, usd=spent + 0.003)
    assert {"answer", "judge", "generate"} <= set(met)
    assert mock.stats()["overspend"] == before
    stages = Stage.objects.filter(iteration__experiment=experiment)
    assert set(stages.values_list("status", flat=True)) == {StageStatus.SUCCEEDED}
