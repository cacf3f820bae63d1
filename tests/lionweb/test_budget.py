"""A hard budget pauses with everything kept, says what was spent, and goes on once it is raised."""

import math

import pytest

from lionweb.models import AuditEvent, ModelCall, StageEvent, StageStatus
from lionweb.selectors.experiment import experiment_page
from lionweb.selectors.experiments import ListState, list_experiments
from lionweb.services import controls, leases
from lionweb.services.advance import begin
from lionweb.services.budget import pause_for_budget, raise_budget, spent_usd
from lionweb.services.errors import Refused
from lionweb.services.transitions import transition
from lionweb.stages.registry import part_of
from tests.factories import make_endpoint, make_experiment, make_pool
from worker.run import run_part
from worker.spending import Spending

pytestmark = pytest.mark.django_db
PAID = {"input_usd_per_million": 1.0, "output_usd_per_million": 1.0}


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


@pytest.fixture
def experiment(alice):
    made = make_experiment(alice, pool=make_pool(rows=40), endpoint=make_endpoint("paid", **PAID), budget_usd=0.01)
    controls.launch(experiment=made, actor=alice)
    begin(experiment=made)
    return made


@pytest.fixture
def stage(experiment):
    return experiment.iterations.get().stages.get(kind="answer")


def spend(stage, usd, count=10):
    ModelCall.objects.bulk_create(
        ModelCall(
            endpoint=stage.iteration.experiment.endpoint, experiment=stage.iteration.experiment, stage=stage,
            purpose="answer", outcome="ok", paid=True, cost_usd=usd / count,
        )
        for _ in range(count)
    )  # fmt: skip


@pytest.fixture
def paused(stage):
    spend(stage, 0.01)
    assert pause_for_budget(part=part_of(stage, "teacher"))
    stage.refresh_from_db()
    return stage


def test_the_pause_says_what_was_spent_and_the_limit(paused):
    assert (paused.status, paused.paused_for) == (StageStatus.PAUSED, "budget")
    said = StageEvent.objects.filter(stage=paused, to_status=StageStatus.PAUSED).get().message
    assert "$0.010000 of $0.010000" in said
    assert "one more call costs about $0.001000" in said


def test_with_room_left_it_does_not_pause(stage):
    spend(stage, 0.005)
    assert not pause_for_budget(part=part_of(stage, "teacher"))


def test_the_reason_is_forgotten_when_the_stage_goes_on(paused):
    transition(stage=paused, to=StageStatus.PENDING)
    assert paused.paused_for == ""


def test_a_person_who_pauses_gives_no_budget_as_the_reason(experiment, stage, alice):
    controls.pause(experiment=experiment, actor=alice)
    stage.refresh_from_db()
    assert (stage.status, stage.paused_for) == (StageStatus.PAUSED, "")


def test_resuming_with_the_same_budget_is_refused_with_what_to_do(experiment, paused, alice):
    with pytest.raises(Refused, match="Raise the budget of the experiment"):
        controls.resume(experiment=experiment, actor=alice)
    paused.refresh_from_db()
    assert paused.status == StageStatus.PAUSED


def test_raising_goes_on_by_itself_and_is_audited(experiment, paused, alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        raise_budget(experiment=experiment, actor=alice, usd=0.5)
    paused.refresh_from_db()
    assert (paused.status, paused.paused_for) == (StageStatus.RUNNING, "")
    event = AuditEvent.objects.get(action="budget.change")
    assert event.detail == {"scope": "the experiment", "before": 0.01, "after": 0.5}
    assert event.experiment == experiment


def test_lifting_the_limit_goes_on_too(experiment, paused, alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        raise_budget(experiment=experiment, actor=alice, usd=None)
    paused.refresh_from_db()
    assert paused.status == StageStatus.RUNNING


def test_too_small_a_raise_changes_nothing(experiment, paused, alice):
    with pytest.raises(Refused, match="one more call may cost"):
        raise_budget(experiment=experiment, actor=alice, usd=0.0105)
    experiment.refresh_from_db()
    assert experiment.budget_usd == 0.01


@pytest.mark.parametrize("usd", [0, -1, math.nan, math.inf, 1e12])
def test_what_is_no_amount_is_refused(experiment, alice, usd):
    with pytest.raises(Refused, match="positive amount"):
        raise_budget(experiment=experiment, actor=alice, usd=usd)


def test_less_than_what_was_spent_is_refused(experiment, stage, alice):
    spend(stage, 0.008)
    with pytest.raises(Refused, match=r"\$0.0080 is spent already"):
        raise_budget(experiment=experiment, actor=alice, usd=0.007)


def test_an_iteration_has_a_budget_of_its_own(experiment, stage, alice):
    spend(stage, 0.002)
    raise_budget(experiment=experiment, actor=alice, usd=0.002, iteration=stage.iteration)
    stage.iteration.refresh_from_db()
    assert stage.iteration.budget_usd == 0.002
    assert spent_usd(experiment=experiment, iteration=stage.iteration) == pytest.approx(0.002)
    assert pause_for_budget(part=part_of(stage, "teacher"))
    with pytest.raises(Refused, match="budget of iteration 1"):
        controls.resume(experiment=experiment, actor=alice)


def test_a_worker_with_no_money_pauses_the_stage_and_calls_nothing(stage, monkeypatch):
    spend(stage, 0.01)

    def no_calls(part, lease):
        spending = Spending(part, lease)
        assert spending.claim() == []
        assert spending.exhausted
        pause_for_budget(part=part)

    monkeypatch.setattr("worker.run._work", no_calls)
    run_part(stage.pk, "teacher")
    stage.refresh_from_db()
    assert (stage.status, stage.paused_for) == (StageStatus.PAUSED, "budget")
    assert leases.Lease.objects.count() == 0


def test_pages_call_it_paused_for_budget(experiment, paused):
    page = experiment_page(experiment.pk)
    assert page.status.word == "paused (budget)"
    assert [view.word for view in page.stages if view.kind == "answer"] == ["paused (budget)"]
    assert list_experiments(ListState()).rows[0].status.word == "paused (budget)"
