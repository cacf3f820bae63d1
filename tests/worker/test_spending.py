"""No call is begun that could take an experiment past its budget, whoever else spends from it."""

import pytest

from distill.settings import ExperimentSettings, PoolSettings, TeacherSettings
from lionweb.models import Claim, ModelCall, Response, Stage
from lionweb.services import controls, leases
from lionweb.services.advance import begin
from lionweb.stages.registry import part_of
from tests.factories import make_endpoint, make_experiment, make_pool
from tests.fake_engine import outcome_of, reply_to
from worker.spending import Spending

pytestmark = pytest.mark.django_db
CALL_USD = 0.001  # what fake_engine's outcomes cost


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


@pytest.fixture
def experiment(alice):
    settings = ExperimentSettings(
        teacher=TeacherSettings(max_tokens=100), pools=PoolSettings(train=30, cache=30, heldout=2)
    )
    endpoint = make_endpoint("paid", input_usd_per_million=1.0, output_usd_per_million=1.0)
    made = make_experiment(alice, settings=settings, pool=make_pool(rows=40), endpoint=endpoint)
    controls.launch(experiment=made, actor=alice)
    begin(experiment=made)
    return made


def spender(experiment):
    stage = Stage.objects.get(iteration__experiment=experiment, kind="answer")
    part = part_of(stage, "teacher")
    return Spending(part, leases.take(stage=stage, part="teacher"))


def limit(experiment, usd, iteration=None):
    experiment.budget_usd = usd
    experiment.save()
    experiment.iterations.update(budget_usd=iteration)


def call_all(spending, requests):
    drawn = [request for request in requests if spending.may_draw(request)]
    for request in drawn:
        spending.store([outcome_of(request, reply_to(request))])
    return len(drawn)


def call_until_done(spending):
    count = 0
    while requests := spending.claim():
        count += call_all(spending, requests)
    return count


def test_without_a_budget_everything_is_claimed_at_once(experiment):
    spending = spender(experiment)
    assert call_all(spending, spending.claim()) == 32
    assert spending.claim() == []
    assert not spending.exhausted


def test_the_first_wave_is_small_until_a_price_is_known(experiment):
    limit(experiment, 1.0)
    spending = spender(experiment)
    first = spending.claim()
    assert len(first) == 4
    call_all(spending, first)
    assert len(spending.claim()) == 28


@pytest.mark.parametrize("usd", [0.0102, 0.0159, 0.02])
def test_it_stops_before_the_call_that_would_pass_the_budget(experiment, usd):
    limit(experiment, usd)
    spending = spender(experiment)
    assert call_until_done(spending) == int(usd / CALL_USD + 1e-9)
    assert spending.exhausted
    assert Claim.objects.count() == 0


def test_the_budget_of_an_iteration_holds_beside_that_of_the_experiment(experiment):
    limit(experiment, 1.0, iteration=0.007)
    spending = spender(experiment)
    assert call_until_done(spending) == 7
    assert spending.exhausted


def test_a_first_call_that_may_cost_more_than_is_left_is_not_begun(experiment):
    limit(experiment, 0.0005)
    spending = spender(experiment)
    assert spending.claim() == []
    assert spending.exhausted


def test_two_workers_do_not_spend_the_same_money(experiment):
    limit(experiment, 0.010)
    first, second = spender(experiment), spender(experiment)
    call_all(first, first.claim())
    held = first.claim()
    assert len(held) == 6
    assert second.claim() == []
    assert not second.exhausted, "the first one still works on it"
    assert call_all(first, held) == 6
    assert first.claim() == []
    assert first.exhausted
    assert ModelCall.objects.count() == 10


def test_replies_that_turn_out_dearer_end_the_block_early(experiment):
    limit(experiment, 0.020)
    spending = spender(experiment)
    call_all(spending, spending.claim())
    block = spending.claim()
    assert len(block) == 16
    dear = [request for request in block[:2] if spending.may_draw(request)]
    for request in dear:
        outcome = outcome_of(request, reply_to(request))
        spending.store([_dearer(outcome, 0.007)])
    assert not spending.may_draw(block[2]), "0.018 is spent and a call costs 0.003 by now"
    assert spending.claim() == []
    assert spending.exhausted
    assert sum(ModelCall.objects.values_list("cost_usd", flat=True)) == pytest.approx(0.018)


def _dearer(outcome, usd):
    from dataclasses import replace

    call = replace(outcome.calls[0], cost_usd=usd)
    return replace(outcome, completion=replace(outcome.completion, cost_usd=usd), calls=(call,))


def test_money_that_someone_else_spent_counts_at_the_next_heartbeat(experiment):
    limit(experiment, 0.020)
    spending = spender(experiment)
    call_all(spending, spending.claim())
    block = spending.claim()
    ModelCall.objects.create(
        endpoint=experiment.endpoint, experiment=experiment, purpose="review", outcome="ok", paid=True, cost_usd=0.016
    )
    assert spending.may_draw(block[0])
    spending.read()
    assert not spending.may_draw(block[1])


def test_a_raised_budget_is_seen_at_the_next_heartbeat(experiment):
    limit(experiment, 0.005)
    spending = spender(experiment)
    call_all(spending, spending.claim())
    assert len(spending.claim()) == 1
    limit(experiment, None)
    spending.read()
    assert len(spending.claim()) == 28


def test_what_costs_nothing_goes_on_over_budget(experiment):
    limit(experiment, 0.0000001)
    experiment.endpoint.input_usd_per_million = experiment.endpoint.output_usd_per_million = 0
    experiment.endpoint.save()
    assert call_until_done(spender(experiment)) == 32


def test_nothing_left_to_call_is_no_exhaustion(experiment):
    spending = spender(experiment)
    call_until_done(spending)
    limit(experiment, 0.001)
    assert spending.claim() == []
    assert not spending.exhausted
    assert Response.objects.count() == 32
