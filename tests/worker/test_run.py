"""What a worker makes of a part: leases, shares of the endpoint's limits, and failures in plain words."""

import pytest

from distill.client import ClientLimits
from distill.errors import EndpointUnreachable
from distill.records import Finish
from distill.settings import ExperimentSettings, PoolSettings
from lionweb.models import Lease, Response, StageEvent, StageStatus
from lionweb.services import controls, leases
from lionweb.services.advance import begin
from tests.factories import make_experiment, make_pool
from worker import run as run_module
from worker.run import _share, run_part

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


@pytest.fixture
def stage(alice):
    settings = ExperimentSettings(pools=PoolSettings(train=6, cache=6, heldout=2))
    experiment = make_experiment(alice, settings=settings, pool=make_pool(rows=20))
    controls.launch(experiment=experiment, actor=alice)
    begin(experiment=experiment)
    return experiment.iterations.get().stages.get(kind="answer")


def replace_work(monkeypatch, work):
    monkeypatch.setattr(run_module, "_work", work)


def test_a_fault_that_people_can_mend_fails_the_stage_with_its_words(stage, monkeypatch):
    def work(part, lease):
        raise EndpointUnreachable("Nothing answers.", "Start the server.")

    replace_work(monkeypatch, work)
    run_part(stage.pk, "teacher")
    stage.refresh_from_db()
    assert stage.status == StageStatus.FAILED
    assert stage.error == {"code": "unreachable", "cause": "Nothing answers.", "advice": "Start the server."}
    assert Lease.objects.count() == 0


def test_an_unknown_fault_fails_the_stage_and_names_itself(stage, monkeypatch):
    def work(part, lease):
        raise RuntimeError("boom")

    replace_work(monkeypatch, work)
    run_part(stage.pk, "teacher")
    stage.refresh_from_db()
    assert (stage.status, stage.error["code"]) == (StageStatus.FAILED, "unforeseen")
    assert "RuntimeError: boom" in stage.error["cause"]


def test_a_stage_that_does_not_run_is_left_alone(stage, monkeypatch):
    replace_work(monkeypatch, lambda part, lease: pytest.fail("must not work"))
    stage.status = StageStatus.PAUSED
    stage.save()
    run_part(stage.pk, "teacher")
    run_part(10**9, "teacher")


def test_a_part_that_the_stage_does_not_have_is_left_alone(stage, monkeypatch):
    replace_work(monkeypatch, lambda part, lease: pytest.fail("must not work"))
    run_part(stage.pk, "no such part")
    stage.refresh_from_db()
    assert stage.status == StageStatus.RUNNING


def test_the_lease_names_the_endpoint_while_it_works(stage, monkeypatch):
    seen = []
    replace_work(monkeypatch, lambda part, lease: seen.append((lease.endpoint, Lease.objects.count())))
    run_part(stage.pk, "teacher")
    assert seen == [(stage.iteration.experiment.endpoint, 1)]
    assert Lease.objects.count() == 0


def test_models_on_one_machine_without_a_gpu_take_turns(stage, monkeypatch):
    monkeypatch.setattr(run_module.shutil, "which", lambda name: None)
    stage.iteration.experiment.endpoint.source = "bundled"
    stage.iteration.experiment.endpoint.save()
    assert leases.take(stage=stage, part="train", exclusive=f"cores:{leases.machine()}")
    replace_work(monkeypatch, lambda part, lease: pytest.fail("must wait for its turn"))
    run_part(stage.pk, "teacher")
    stage.refresh_from_db()
    assert stage.status == StageStatus.RUNNING


@pytest.mark.parametrize(
    ("sharers", "share"), [(1, (64, 600, 0)), (3, (21, 200, 0)), (100, (1, 6, 0)), (1000, (1, 1, 0))]
)
def test_sharers_divide_what_the_provider_allows(sharers, share):
    assert _share(ClientLimits(64, 600, 0), sharers) == ClientLimits(*share)


def test_answers_are_stored_and_the_stage_goes_on(stage, monkeypatch):
    def work(part, lease):
        from tests.fake_engine import outcome_of, reply_to

        todo = part.claim(lease, 100)
        part.store([outcome_of(request, reply_to(request), finish=Finish.STOP) for request in todo])

    replace_work(monkeypatch, work)
    run_part(stage.pk, "teacher")
    stage.refresh_from_db()
    assert stage.status == StageStatus.SUCCEEDED
    assert Response.objects.count() == 8
    assert stage.iteration.stages.get(kind="train").status == StageStatus.RUNNING
    assert StageEvent.objects.filter(stage=stage, to_status=StageStatus.SUCCEEDED).count() == 1
