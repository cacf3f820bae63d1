"""The loop over all stages, with a fake engine: what follows what, and what the tables hold afterwards."""

import pytest

from distill.records import Finish, Purpose
from distill.settings import ExperimentSettings, GateSettings, GeneratorSettings, PoolSettings, RefereeSettings
from lionweb import pools_of
from lionweb.models import (
    Approval,
    Candidate,
    Classification,
    ItemFailure,
    Iteration,
    Lease,
    Membership,
    ModelCall,
    Response,
    Review,
    StageStatus,
)
from lionweb.selectors.approvals import asked
from lionweb.selectors.outcome import outcome_of as outcome_json
from lionweb.services import approvals, controls, gates, reviews
from lionweb.services.advance import advance, begin, sweep
from lionweb.services.errors import Refused
from tests.factories import make_experiment, make_pool
from tests.fake_engine import FakeEngine, drive, failed_outcome, outcome_of, reply_to

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_broker_and_own_artifacts(settings, tmp_path, monkeypatch):
    settings.ARTIFACTS_DIR = tmp_path
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


def settings_with(**groups):
    values = {
        "generator": GeneratorSettings(hard=4, easy=4),
        "pools": PoolSettings(train=12, cache=16, heldout=6),
        "iterations": 1,
    }
    return ExperimentSettings(**values | groups)


def launched(alice, count=1, **groups):
    experiment = make_experiment(alice, settings=settings_with(**groups), pool=make_pool(rows=40))
    launch(experiment, alice, count)
    return experiment


def launch(experiment, actor, count=1):
    """What a person's launch does once its transaction is committed."""
    controls.launch(experiment=experiment, actor=actor, count=count)
    begin(experiment=experiment)


def test_an_iteration_runs_through_all_stages(alice):
    experiment = launched(alice)
    assert drive(experiment) is None
    iteration = experiment.iterations.get()
    assert iteration.finished_at
    assert set(iteration.stages.values_list("status", flat=True)) == {StageStatus.SUCCEEDED}


def test_the_tables_hold_one_row_for_each_thing(alice):
    experiment = launched(alice)
    drive(experiment)
    assert Response.objects.filter(author_kind="teacher").count() == 16 + 6
    assert Response.objects.filter(checkpoint__number=1).count() == 16 + 6
    assert Response.objects.filter(checkpoint__number=0).count() == 6
    assert Review.objects.count() == 2 * (16 + 6 + 6)
    assert Classification.objects.filter(pool="cache").count() == 16
    assert Classification.objects.filter(pool="heldout").count() == 12
    assert Candidate.objects.filter(judged=True, rejected="").count() == 8


def test_nothing_is_left_claimed(alice):
    experiment = launched(alice)
    drive(experiment)
    assert Lease.objects.count() == 0


def test_train_pool_and_cache_pool_start_from_the_same_instructions(alice):
    experiment = launched(alice)
    train = set(pools_of.train_pool(experiment, 1))
    assert len(train) == 12
    assert train < set(pools_of.cache_pool(experiment, 1))


def test_the_heldout_set_meets_neither_pool(alice):
    experiment = launched(alice)
    heldout = set(pools_of.heldout_set(experiment))
    assert len(heldout) == 6
    assert not heldout & set(pools_of.cache_pool(experiment, 1))


def test_no_prompt_is_sent_twice_in_three_iterations(alice):
    experiment = launched(alice, count=3)
    engine = FakeEngine()
    drive(experiment, engine=engine)
    prompts = [request.messages[-1]["content"] for request in engine.requests]
    assert len(prompts) == len(set(prompts))
    assert experiment.iterations.count() == 3


def test_new_instructions_replace_the_train_pool_and_join_the_cache_pool(alice):
    experiment = launched(alice, count=2)
    drive(experiment)
    made = {c.instruction for c in Candidate.objects.filter(iteration__number=1, rejected="")}
    assert set(pools_of.train_pool(experiment, 2)) == made
    assert pools_of.cache_pool(experiment, 2).count() == 16 + len(made)


def test_new_instructions_are_added_to_the_train_pool_in_mode_append(alice):
    experiment = launched(alice, count=2, pools=PoolSettings(mode="append", train=12, cache=16, heldout=6))
    drive(experiment)
    assert pools_of.train_pool(experiment, 2).count() == 12 + 8


def test_a_second_experiment_reuses_the_answers_of_the_first(alice):
    first = launched(alice)
    drive(first)
    second = make_experiment(alice, name="Again", settings=settings_with(), pool=first.pool, endpoint=first.endpoint)
    launch(second, alice)
    engine = FakeEngine()
    drive(second, engine=engine)
    assert not [r for r in engine.requests if r.purpose == Purpose.ANSWER]


def test_two_experiments_with_the_same_seed_make_the_same_instructions(alice):
    first = launched(alice)
    drive(first)
    second = make_experiment(alice, name="Again", settings=settings_with(), pool=first.pool, endpoint=first.endpoint)
    launch(second, alice)
    drive(second)
    texts = [
        list(Candidate.objects.filter(iteration__experiment=e).order_by("key").values_list("raw", flat=True))
        for e in (first, second)
    ]
    assert texts[0] == texts[1]


def test_cut_answers_are_stored_but_not_trained_on(alice):
    def reply(request):
        cut = request.purpose == Purpose.ANSWER and len(request.messages[-1]["content"]) % 2
        return outcome_of(request, reply_to(request), finish=Finish.LENGTH if cut else Finish.STOP)

    engine = FakeEngine(reply)
    drive(launched(alice), engine=engine)
    assert Response.objects.filter(author_kind="teacher", finish="length").exists()
    assert engine.trained_on
    assert all(example["complete"] for example in engine.trained_on)


def test_unreadable_reviews_are_asked_again_in_other_words_and_then_left_unscored(alice):
    def reply(request):
        return outcome_of(
            request, "I would rather not say." if request.purpose == Purpose.REVIEW else reply_to(request)
        )

    engine = FakeEngine(reply)
    experiment = launched(alice, referee=RefereeSettings(reask=2))
    stopped = drive(experiment, engine=engine)
    assert stopped.kind == "generate"
    assert stopped.status == StageStatus.FAILED
    assert "verdict" in stopped.error["cause"]
    assert set(Classification.objects.values_list("verdict", flat=True)) == {"unscored"}
    assert Review.objects.count() == 3 * 2 * 28
    prompts = [r.messages[-1]["content"] for r in engine.requests if r.purpose == Purpose.REVIEW]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize(("scores", "kind"), [((5, 5), "easy"), (None, None)])
def test_all_easy_makes_everything_from_easy_ones(alice, scores, kind):
    engine = FakeEngine(lambda request: outcome_of(request, reply_to(request, scores=scores)))
    experiment = launched(alice)
    assert drive(experiment, engine=engine) is None
    kinds = set(Candidate.objects.filter(rejected="").values_list("difficulty", flat=True))
    assert kinds == ({kind} if kind else {"hard", "easy"})
    note = experiment.iterations.get().stages.get(kind="generate").note
    assert ("instead" in note) == bool(kind)


def test_a_generator_that_yields_nothing_stops_with_a_reason(alice):
    def reply(request):
        return outcome_of(request, "" if request.purpose == Purpose.GENERATE else reply_to(request))

    stopped = drive(launched(alice), engine=FakeEngine(reply))
    assert (stopped.kind, stopped.status) == ("generate", StageStatus.FAILED)
    assert stopped.error["code"] == "generator_dry"
    assert "empty" in stopped.error["cause"]
    assert Candidate.objects.count() <= 8 * 5


def test_a_few_calls_that_fail_for_good_are_shown_and_left_out(alice):
    refused = []

    def reply(request):
        if request.purpose == Purpose.ANSWER and (not refused or request.key in refused):
            refused.append(request.key)
            return failed_outcome(request)
        return outcome_of(request, reply_to(request))

    experiment = launched(alice, pools=PoolSettings(train=25, cache=25, heldout=6))
    assert drive(experiment, engine=FakeEngine(reply)) is None
    assert ItemFailure.objects.filter(stage__kind="answer").get().attempts == 2
    assert experiment.iterations.get().stages.get(kind="answer").failed_items == 1


def test_many_failed_calls_stop_the_stage_and_a_retry_pays_only_for_what_is_missing(alice):
    broken = FakeEngine(
        lambda r: failed_outcome(r) if len(r.messages[-1]["content"]) % 2 else outcome_of(r, reply_to(r))
    )
    experiment = launched(alice)
    stopped = drive(experiment, engine=broken)
    assert (stopped.kind, stopped.status, stopped.error["code"]) == ("answer", StageStatus.FAILED, "calls_failed")
    kept = Response.objects.count()
    assert kept
    controls.retry(stage=stopped, actor=alice)
    engine = FakeEngine()
    drive(experiment, engine=engine, stop_at="train")
    assert len(engine.requests) == 18 - kept


def test_every_call_stands_in_the_ledger(alice):
    engine = FakeEngine()
    experiment = launched(alice)
    drive(experiment, engine=engine)
    assert ModelCall.objects.filter(experiment=experiment, paid=True).count() == len(engine.requests)
    result = outcome_json(experiment)
    assert result["paid_calls"] == len(engine.requests)
    assert result["tokens"] == {"prompt": 20 * len(engine.requests), "completion": 10 * len(engine.requests)}


def test_the_outcome_is_read_back_from_the_database(alice):
    experiment = launched(alice)
    drive(experiment)
    result = outcome_json(experiment)
    assert (result["heldout_loss_before"], result["heldout_loss_after"]) == (3.0, 1.5)
    assert result["hard"] + result["easy"] + result["unscored"] == 16
    assert result["accepted"] == 8
    assert result["generated"] == result["accepted"] + sum(result["rejected"].values())
    assert set(result["seconds"]) == {"answer", "train", "compare", "judge", "review", "generate", "approve"}


def test_the_likelihood_referee_needs_no_call(alice):
    engine = FakeEngine()
    drive(launched(alice, referee=RefereeSettings(mode="likelihood")), engine=engine)
    assert not [r for r in engine.requests if r.purpose == Purpose.REVIEW]
    assert Review.objects.count() == 28


def test_the_review_gate_waits_for_people_and_their_verdict_decides(alice, bob):
    experiment = launched(alice, gates=GateSettings(review="require"))
    stage = drive(experiment)
    assert (stage.kind, stage.status) == ("review", StageStatus.WAITING)
    with pytest.raises(Refused, match="still open"):
        gates.close_review(stage=stage, actor=alice)
    for one in Classification.objects.filter(for_review=True):
        reviews.decide(classification=one, person=bob, kind="easy", comment="looks fine")
    gates.close_review(stage=stage, actor=alice)
    assert drive(experiment) is None
    assert set(Candidate.objects.values_list("difficulty", flat=True)) == {"easy"}


def test_a_verdict_after_the_gate_is_refused(alice, bob):
    experiment = launched(alice)
    drive(experiment)
    with pytest.raises(Refused, match="moved on"):
        reviews.decide(classification=Classification.objects.first(), person=bob, kind="hard")


def test_the_approval_gate_keeps_rejected_ones_out_of_the_pools(alice, bob):
    experiment = launched(alice, count=2, gates=GateSettings(approval="require"))
    stage = drive(experiment)
    assert (stage.kind, stage.status) == ("approve", StageStatus.WAITING)
    bad, *good = Candidate.objects.filter(rejected="")
    approvals.decide(stage=stage, candidate=bad, actor=bob, approve=False, reason="off_topic")
    assert approvals.decide_many(stage=stage, rows=asked(stage), actor=alice, approve=True, rule={}).count == len(good)
    approvals.close(stage=stage, actor=alice)
    drive(experiment, stop_at="answer")
    assert bad.instruction not in set(pools_of.train_pool(experiment, 2))
    assert set(pools_of.train_pool(experiment, 2)) == {c.instruction for c in good}
    assert Membership.objects.filter(approval=Approval.PENDING).count() == 0


def test_pause_and_resume_lose_nothing(alice):
    experiment = launched(alice)
    drive(experiment, stop_at="compare")
    answered = Response.objects.count()
    controls.pause(experiment=experiment, actor=alice)
    assert drive(experiment).status == StageStatus.PAUSED
    controls.resume(experiment=experiment, actor=alice)
    assert drive(experiment) is None
    assert Response.objects.count() > answered


def test_cancel_ends_the_open_iteration_and_resume_brings_it_back(alice):
    experiment = launched(alice, count=3)
    drive(experiment, stop_at="train")
    controls.cancel(experiment=experiment, actor=alice)
    assert drive(experiment).status == StageStatus.CANCELLED
    controls.resume(experiment=experiment, actor=alice)
    drive(experiment)
    assert experiment.iterations.count() == 1


def test_controls_that_do_not_apply_are_refused(alice):
    experiment = make_experiment(alice, settings=settings_with())
    for control in (controls.pause, controls.resume, controls.cancel):
        with pytest.raises(Refused):
            control(experiment=experiment, actor=alice)


def test_a_launch_goes_on_from_the_last_iteration(alice):
    experiment = launched(alice)
    drive(experiment)
    launch(experiment, alice)
    drive(experiment)
    assert list(experiment.checkpoints.order_by("number").values_list("number", flat=True)) == [0, 1, 2]


def test_the_sweep_brings_a_planned_iteration_to_life_that_nobody_began(alice):
    experiment = make_experiment(alice, settings=settings_with(), planned=1)
    sweep()
    assert Iteration.objects.get(experiment=experiment).stages.get(kind="answer").status == StageStatus.RUNNING


def test_advance_may_be_called_at_any_time(alice):
    experiment = launched(alice)
    iteration = experiment.iterations.get()
    for _ in range(5):
        advance(iteration.pk)
    assert iteration.stages.filter(status=StageStatus.RUNNING).count() == 1


def test_two_checkpoints_that_answer_in_the_same_words_are_reviewed_once(alice):
    class StubbornStudent(FakeEngine):
        """Learns nothing: every checkpoint says the same."""

        def infer(self, part, item):
            return super().infer(part, item) | {"text": "I do not know."}

    engine = StubbornStudent()
    experiment = launched(alice, count=2)
    drive(experiment, engine=engine)
    prompts = [r.messages[-1]["content"] for r in engine.requests if r.purpose == Purpose.REVIEW]
    assert len(prompts) == len(set(prompts))
    assert not Classification.objects.filter(verdict="unscored").exists()
    of_heldout = Review.objects.filter(student_response__checkpoint__number=2, cost_usd=0)
    assert of_heldout.count() == 2 * (16 + 6)


@pytest.mark.django_db(transaction=True)
def test_a_round_is_not_decided_while_advance_looks_at_the_parts(alice):
    """Else advance could see "all answered" before the decision and "nothing to decide" after it, and end the stage."""
    import threading

    from django.db import connection, transaction

    from lionweb.stages.registry import part_of

    experiment = launched(alice)
    drive(experiment, stop_at="generate")
    stage = experiment.iterations.get().stages.get(kind="generate")
    FakeEngine().run(part_of(stage, "candidates"))
    decided = threading.Event()

    def decide():
        part_of(stage, "accept").work()
        decided.set()
        connection.close()

    with transaction.atomic():
        Iteration.objects.select_for_update(no_key=True).get(pk=stage.iteration_id)
        worker = threading.Thread(target=decide)
        worker.start()
        assert not decided.wait(1.0)
        assert not Candidate.objects.filter(judged=True).exists()
    worker.join(20)
    assert Candidate.objects.filter(judged=True).exists()
