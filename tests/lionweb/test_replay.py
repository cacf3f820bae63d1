"""A past iteration's decisions once more, as a branch: no call, no file, and a student that goes on from there."""

from collections import Counter
from dataclasses import replace

import pytest

from distill.errors import SettingsError
from distill.settings import ExperimentSettings, GateSettings, GeneratorSettings, PoolSettings
from lionweb import pools_of
from lionweb.models import (
    AuditEvent,
    Candidate,
    Classification,
    Decision,
    Experiment,
    Membership,
    MetricPoint,
    ModelCall,
    Response,
    Review,
    StageEvent,
    StageStatus,
)
from lionweb.selectors.threshold import replayed
from lionweb.services import controls, gates, reviews
from lionweb.services.advance import begin, sweep
from lionweb.services.errors import Refused
from lionweb.services.replays import replay, stored_modes
from lionweb.services.thresholds import apply_threshold
from tests.factories import make_experiment, make_iteration, make_pool
from tests.fake_engine import FakeEngine, drive

pytestmark = pytest.mark.django_db
SETTINGS = ExperimentSettings(
    generator=GeneratorSettings(hard=4, easy=4),
    pools=PoolSettings(train=12, cache=16, heldout=6),
    gates=GateSettings(review="sample", review_sample_percent=100, review_audit_percent=0),
    iterations=2,
)


@pytest.fixture(autouse=True)
def _no_broker_and_own_artifacts(settings, tmp_path, monkeypatch):
    settings.ARTIFACTS_DIR = tmp_path
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


def run(alice, bob=None, *, count=1, decisions=(), **changed):
    """An experiment of `count` iterations; the last stands at its review gate, with bob's decisions in it."""
    experiment = make_experiment(alice, settings=replace(SETTINGS, **changed), pool=make_pool(rows=40))
    controls.launch(experiment=experiment, actor=alice, count=count)
    begin(experiment=experiment)
    for number in range(1, count + 1):
        stage = drive(experiment)
        assert (stage.kind, stage.status, stage.iteration.number) == ("review", "waiting", number)
        if number < count:
            gates.close_review(stage=stage, actor=alice)
    for item, (kind, corrected) in zip(queued(stage.iteration), decisions, strict=False):
        reviews.decide(classification=item, person=bob, kind=kind, comment="Looked up.", corrected=corrected)
    return stage.iteration


def queued(iteration):
    return list(iteration.classifications.filter(for_review=True).order_by("instruction_id"))


DECISIONS = (("hard", ""), ("easy", ""), ("teacher_wrong", "It is 4."), ("unsafe", ""), ("skip", ""))


def verdicts(iteration):
    rows = iteration.classifications.order_by("pool", "checkpoint__number", "instruction_id")
    return list(
        rows.values_list("pool", "checkpoint__number", "instruction_id", "gap", "flipped", "referee_verdict", "verdict")
    )


def people(iteration):
    rows = iteration.classifications.exclude(person_kind="", review_state="").order_by("instruction_id", "pool")
    fields = ("instruction_id", "review_state", "person_id", "person_kind", "person_verdict", "corrected_response_id")
    return list(rows.values_list(*fields, "opinions"))


def branch_of(iteration, actor, name="Branch", **given):
    branch = replay(iteration=iteration, actor=actor, name=name, **given)
    return branch, branch.iterations.get(number=iteration.number)


def test_without_changes_the_verdicts_are_the_same_to_the_last_digit(alice, bob):
    iteration = run(alice, bob, decisions=DECISIONS)
    branch, copied = branch_of(iteration, alice)
    assert verdicts(copied) == verdicts(iteration)
    assert people(copied) == people(iteration)
    assert len({verdict for *_, verdict in verdicts(copied)}) >= 2
    assert branch.replay_of == iteration
    assert branch.cloned_from == iteration.experiment


def test_another_threshold_judges_the_stored_reviews_anew(alice):
    iteration = run(alice)
    _, copied = branch_of(iteration, alice, tau=4.0)
    assert copied.tau == 4.0
    for _, _, _, gap, _, referee, verdict in verdicts(copied):
        assert referee == verdict == ("unscored" if gap is None else "hard" if gap >= 4 else "easy")
    found = replayed(copied)
    before, after = Counter(v[-1] for v in cache(iteration)), Counter(v[-1] for v in cache(copied))
    assert (found.before.hard, found.after.hard) == (before["hard"], after["hard"])
    assert found.changed == sum(a[-1] != b[-1] for a, b in zip(cache(iteration), cache(copied), strict=True)) > 0


def cache(iteration):
    return [one for one in verdicts(iteration) if one[0] == "cache"]


def test_a_replay_calls_nothing_and_starts_nothing(alice):
    iteration = run(alice)
    calls = ModelCall.objects.count()
    branch, copied = branch_of(iteration, alice, tau=3.0)
    for _ in range(3):
        sweep()
    assert ModelCall.objects.count() == calls
    statuses = list(copied.stages.values_list("status", flat=True))
    assert statuses == ["succeeded"] * 4 + ["paused"] + ["pending"] * 2
    assert Response.objects.filter(checkpoint__experiment=branch, cost_usd__gt=0).count() == 0
    assert Review.objects.filter(student_response__checkpoint__experiment=branch, cost_usd__gt=0).count() == 0


def test_the_source_is_left_as_it_was(alice, bob):
    iteration = run(alice, bob, decisions=DECISIONS)

    def state():
        experiment = iteration.experiment
        rows = [
            Membership.objects.filter(experiment=experiment),
            Classification.objects.filter(iteration__experiment=experiment),
            Response.objects.filter(checkpoint__experiment=experiment),
            Decision.objects.filter(classification__iteration__experiment=experiment),
            Experiment.objects.filter(pk=experiment.pk),
        ]
        return [list(one.order_by("pk").values()) for one in rows]

    before = state()
    branch_of(iteration, alice, with_overrides=False, tau=5.0)
    branch_of(iteration, alice, tau=-5.0)
    assert state() == before


def test_a_resumed_branch_generates_from_its_own_seeds_and_ends(alice):
    iteration = run(alice)
    branch, copied = branch_of(iteration, alice, tau=3.0)
    engine = FakeEngine()
    controls.resume(experiment=branch, actor=alice)
    stage = drive(branch, engine=engine)
    assert (stage.kind, stage.status) == ("review", "waiting")
    gates.close_review(stage=stage, actor=alice)
    assert drive(branch, engine=engine) is None
    assert {request.purpose.value for request in engine.requests} == {"generate"}
    hard = {row.instruction_id for row in copied.classifications.filter(pool="cache", verdict="hard")}
    made = Candidate.objects.filter(iteration=copied, judged=True)
    assert made.filter(rejected="").count() == 8
    assert all((one.parent_id in hard) == (one.difficulty == "hard") for one in made)
    assert not Membership.objects.filter(experiment=iteration.experiment, since=2).exists()


def test_a_branch_goes_on_to_a_second_iteration_from_the_copied_student(alice):
    iteration = run(alice)
    branch, _ = branch_of(iteration, alice, tau=2.0)
    controls.resume(experiment=branch, actor=alice)
    controls.launch(experiment=branch, actor=alice)
    engine = FakeEngine()
    while stage := drive(branch, engine=engine):
        gates.close_review(stage=stage, actor=alice)
    numbers = list(branch.checkpoints.order_by("number").values_list("number", "path"))
    own, shared = branch.checkpoints.get(number=2).path, iteration.checkpoint.path
    assert numbers == [(0, ""), (1, shared), (2, own)]
    assert own != shared
    assert branch.iterations.get(number=2).tau == 2.0


def test_pools_checkpoints_and_curves_are_there(alice):
    iteration = run(alice, count=2)
    branch, copied = branch_of(iteration, alice)
    source = iteration.experiment
    for number in (1, 2):
        for pool in (pools_of.train_pool, pools_of.cache_pool):
            assert set(pool(branch, number)) == set(pool(source, number))
    assert set(pools_of.heldout_set(branch)) == set(pools_of.heldout_set(source))
    shown = ("number", "path", "sha256", "metrics", "iteration__number")
    assert list(branch.checkpoints.order_by("number").values_list(*shown)) == list(
        source.checkpoints.order_by("number").values_list(*shown)
    )
    assert MetricPoint.objects.filter(stage__iteration=copied).count() > 0
    assert verdicts(branch.iterations.get(number=1)) == verdicts(source.iterations.get(number=1))
    assert verdicts(copied) == verdicts(iteration)


def test_earlier_iterations_are_copied_as_they_are(alice, bob):
    iteration = run(alice, count=2)
    source, first = iteration.experiment, iteration.experiment.iterations.get(number=1)
    branch, _ = branch_of(iteration, alice, tau=5.0, with_overrides=False)
    earlier = branch.iterations.get(number=1)
    assert (earlier.tau, branch.iterations.get(number=2).tau) == (1.0, 5.0)
    assert earlier.finished_at == first.finished_at
    assert set(earlier.stages.values_list("status", flat=True)) == {StageStatus.SUCCEEDED}
    kept = ("key", "difficulty", "parent_id", "rejected", "instruction_id")
    assert list(earlier.candidates.order_by("key").values_list(*kept)) == list(
        first.candidates.order_by("key").values_list(*kept)
    )
    members = Membership.objects.filter(experiment=branch, since=2)
    assert set(members.values_list("candidate__iteration", flat=True)) == {earlier.pk}
    assert members.count() == Membership.objects.filter(experiment=source, since=2).count()


def test_an_earlier_iteration_can_be_replayed_after_later_ones(alice):
    iteration = run(alice, count=2)
    first = iteration.experiment.iterations.get(number=1)
    branch, copied = branch_of(first, alice, tau=2.5)
    assert list(branch.iterations.values_list("number", flat=True)) == [1]
    assert branch.checkpoints.count() == 2
    assert not Membership.objects.filter(experiment=branch, since__gt=1).exists()
    assert not copied.candidates.exists()
    assert copied.finished_at is None


class TestPeople:
    def test_their_decisions_come_along_and_are_settled_against_the_new_verdicts(self, alice, bob):
        iteration = run(alice, bob, decisions=DECISIONS)
        _, copied = branch_of(iteration, alice, tau=-9.0)
        rows = queued(copied)
        assert rows[0].review_state == ("confirmed" if rows[0].referee_verdict == "hard" else "overridden")
        assert rows[1].review_state == ("confirmed" if rows[1].referee_verdict == "easy" else "overridden")
        assert rows[2].corrected_response.text == "It is 4."
        assert rows[4].review_state == "skipped"
        times = Decision.objects.filter(classification__iteration=copied).values_list("created_at", flat=True)
        before = Decision.objects.filter(classification__iteration=iteration).values_list("created_at", flat=True)
        assert sorted(times) == sorted(before)

    def test_what_they_excluded_stays_out(self, alice, bob):
        iteration = run(alice, bob, decisions=DECISIONS)
        branch, copied = branch_of(iteration, alice)
        unsafe = queued(copied)[3].instruction
        assert unsafe not in pools_of.cache_pool(branch, 2)
        assert unsafe in pools_of.cache_pool(branch, 1)

    def test_without_them_nothing_of_theirs_is_left(self, alice, bob):
        iteration = run(alice, bob, decisions=DECISIONS)
        branch, copied = branch_of(iteration, alice, with_overrides=False)
        assert not Decision.objects.filter(classification__iteration=copied).exists()
        assert not copied.classifications.exclude(person_kind="").exists()
        assert not copied.classifications.filter(corrected_response__isnull=False).exists()
        assert set(copied.classifications.filter(for_review=True).values_list("review_state", flat=True)) == {"pending"}
        assert not Membership.objects.filter(experiment=branch, until__isnull=False).exists()
        assert [one[5] for one in verdicts(copied)] == [one[5] for one in verdicts(iteration)]

    def test_they_decide_in_the_branch_as_anywhere(self, alice, bob):
        iteration = run(alice, bob, decisions=DECISIONS)
        _, copied = branch_of(iteration, alice)
        item = queued(copied)[5]
        reviews.decide(classification=item, person=bob, kind="easy")
        item.refresh_from_db()
        assert item.verdict == "easy"
        assert queued(iteration)[5].person_kind == ""

    def test_where_every_hard_item_needs_them_decided_ones_stay_in_the_queue(self, alice, bob):
        required = GateSettings(review="require", review_audit_percent=0)
        iteration = run(alice, bob, decisions=(("hard", ""),), gates=required)
        decided = queued(iteration)[0].instruction_id
        _, copied = branch_of(iteration, alice, tau=9.0)
        states = dict(copied.classifications.filter(for_review=True).values_list("instruction_id", "review_state"))
        assert states[decided] == "overridden"


class TestModes:
    def test_only_with_stored_reviews_of_that_mode(self, alice):
        iteration = run(alice)
        assert stored_modes(iteration) == ["pairwise"]
        with pytest.raises(Refused, match="no stored reviews of the mode likelihood"):
            branch_of(iteration, alice, mode="likelihood")
        assert Experiment.objects.count() == 1

    def test_by_the_other_referees_reviews(self, alice):
        iteration = run(alice)
        checkpoints = iteration.experiment.checkpoints.all()
        first = Review.objects.filter(student_response__checkpoint__in=checkpoints, order="teacher_first")
        for number, one in enumerate(first):
            one.pk, one.order, one.referee = None, "none", "likelihood:some/model"
            one.score_teacher, one.score_student = 8.0, 8.0 - number % 4
            one.save(force_insert=True)
        assert stored_modes(iteration) == ["pairwise", "likelihood"]
        branch, copied = branch_of(iteration, alice, mode="likelihood", tau=2.0)
        assert (branch.settings.referee.mode, branch.settings.referee.weights) == ("likelihood", "some/model")
        assert set(copied.classifications.values_list("gap", flat=True)) == {0.0, 1.0, 2.0, 3.0}
        assert all((row.gap >= 2) == (row.referee_verdict == "hard") for row in copied.classifications.all())

    def test_a_moved_threshold_is_where_the_branch_begins(self, alice):
        iteration = run(alice)
        apply_threshold(iteration=iteration, actor=alice, tau=2.5)
        branch, copied = branch_of(iteration, alice)
        assert (branch.settings.referee.tau, copied.applied_tau) == (2.5, None)
        iteration.refresh_from_db()
        assert verdicts(copied) == verdicts(iteration)


class TestRefused:
    def test_before_it_is_judged(self, alice):
        iteration = make_iteration(make_experiment(alice), done=3)
        with pytest.raises(Refused, match="not through"):
            branch_of(iteration, alice)

    def test_without_a_name_or_with_an_impossible_threshold(self, alice):
        iteration = run(alice)
        with pytest.raises(Refused, match="no name"):
            branch_of(iteration, alice, name="  ")
        with pytest.raises(SettingsError):
            branch_of(iteration, alice, tau=99.0)
        assert Experiment.objects.count() == 1

    def test_where_the_endpoint_names_another_model_now(self, alice):
        iteration = run(alice)
        endpoint = iteration.experiment.endpoint
        endpoint.model = "another"
        endpoint.save()
        with pytest.raises(Refused, match="no longer found"):
            branch_of(iteration, alice)
        assert Experiment.objects.count() == 1


def test_it_is_told_on_every_copied_stage_and_in_the_audit_log(alice):
    iteration = run(alice)
    branch, copied = branch_of(iteration, alice, tau=3.0)
    told = StageEvent.objects.filter(stage__iteration=copied, message__startswith="Replayed from iteration 1 of")
    assert told.count() == 4
    event = AuditEvent.objects.get(action="experiment.replay")
    assert (event.actor, event.experiment) == (alice, branch)
    assert (event.detail["tau"], event.detail["with_overrides"]) == (3.0, True)


def test_the_form_makes_a_branch_and_its_pages_say_what_it_is(client, alice):
    iteration = run(alice)
    client.force_login(alice)
    path = f"/experiments/{iteration.experiment_id}/threshold/replay/?iteration=1"
    wrong = client.post(path, {"name": "", "tau": "3", "mode": "pairwise"})
    assert wrong.status_code == 400
    other = client.post(path, {"name": "B", "tau": "3", "mode": "likelihood"})
    assert other.status_code == 400
    made = client.post(path, {"name": "By three", "tau": "3", "mode": "pairwise", "with_overrides": "on"}, follow=True)
    text = made.content.decode()
    assert "Replay of" in text
    branch = Experiment.objects.get(name="By three")
    assert branch.settings.referee.tau == 3.0
    link = f"/experiments/{iteration.experiment_id}/threshold/?iteration=1"
    assert link in text
    assert link in client.get(f"/experiments/{branch.pk}/").content.decode()
    assert "By three" in client.get(link).content.decode()


def test_another_mode_leaves_second_askings_behind(alice):
    iteration = run(alice, referee=replace(SETTINGS.referee, stability_percent=50))
    for review in Review.objects.filter(order="teacher_first", attempt=0).exclude(referee__endswith="~again"):
        review.pk, review.order, review.referee = None, "likelihood", "likelihood:bundled"
        review._state.adding = True
        review.save()

    branch, _ = branch_of(iteration, alice, mode="likelihood")

    assert (branch.settings.referee.mode, branch.settings.referee.stability_percent) == ("likelihood", 0)
