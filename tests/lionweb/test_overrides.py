"""What people decide changes what comes next: the seeds of the generation, and the next training file."""

from dataclasses import replace

import pytest

from distill.settings import ExperimentSettings, GateSettings, GeneratorSettings, PoolSettings
from lionweb import pools_of
from lionweb.models import Candidate, Classification, Membership, Response
from lionweb.services import controls, gates, reviews
from lionweb.services.advance import begin
from lionweb.stages.candidates import Round
from lionweb.stages.training import Training
from tests.factories import make_experiment, make_pool
from tests.fake_engine import FakeEngine, drive

pytestmark = pytest.mark.django_db
SETTINGS = ExperimentSettings(
    generator=GeneratorSettings(hard=4, easy=4),
    pools=PoolSettings(train=12, cache=16, heldout=6),
    gates=GateSettings(review="require", review_audit_percent=100),
    iterations=2,
)


@pytest.fixture(autouse=True)
def _no_broker_and_own_artifacts(settings, tmp_path, monkeypatch):
    settings.ARTIFACTS_DIR = tmp_path
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


@pytest.fixture
def at_the_gate(alice):
    """An experiment of two iterations that waits at the first review gate, with every Cache Pool item queued."""

    def run(mode="replace"):
        settings = replace(SETTINGS, pools=replace(SETTINGS.pools, mode=mode))
        experiment = make_experiment(alice, settings=settings, pool=make_pool(rows=40))
        controls.launch(experiment=experiment, actor=alice, count=2)
        begin(experiment=experiment)
        stage = drive(experiment)
        assert (stage.kind, stage.status) == ("review", "waiting")
        return experiment, stage

    return run


def queued():
    return list(Classification.objects.filter(for_review=True).select_related("instruction").order_by("pk"))


def decide_rest(person, kind):
    for row in Classification.objects.filter(for_review=True, review_state="pending"):
        reviews.decide(classification=row, person=person, kind=kind)


def train_again(experiment, stage, alice):
    """Close the gate, run to the second training, and return the rows of its file by instruction text."""
    gates.close_review(stage=stage, actor=alice)
    engine = FakeEngine()
    drive(experiment, engine=engine, stop_at="compare")
    assert experiment.checkpoints.filter(number=2).exists()
    return {row["text"]: row for row in engine.trained_on}


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_an_override_flips_the_seeds_and_a_corrected_answer_is_trained_on_next(at_the_gate, alice, bob, mode):
    experiment, stage = at_the_gate(mode)
    one, other, *_ = [row for row in queued() if row.verdict == "hard"]
    easy = next(row for row in queued() if row.verdict == "easy")
    assert one.instruction.content_hash in Round(stage).seeds["hard"]

    reviews.decide(classification=one, person=bob, kind="easy", comment="Both are right.")
    reviews.decide(classification=easy, person=bob, kind="hard")
    reviews.decide(classification=other, person=bob, kind="teacher_wrong", corrected="The right answer is 42.")

    seeds = Round(stage).seeds
    assert one.instruction.content_hash in seeds["easy"]
    assert one.instruction.content_hash not in seeds["hard"]
    assert easy.instruction.content_hash in seeds["hard"]
    assert other.instruction.content_hash not in [*seeds["hard"], *seeds["easy"]]
    for row in queued():
        if row.review_state == "pending":
            reviews.decide(classification=row, person=bob, kind=row.referee_verdict)
    trained_on = train_again(experiment, stage, alice)
    made = Candidate.objects.filter(iteration__number=1)
    assert set(made.filter(parent=one.instruction).values_list("difficulty", flat=True)) <= {"easy"}
    assert not made.filter(parent=other.instruction).exists()
    assert trained_on[other.instruction.text]["response"] == "The right answer is 42."
    assert trained_on[other.instruction.text]["complete"]
    assert Response.objects.filter(instruction=other.instruction, author_kind="teacher").exists()


def test_all_seeds_follow_the_people(at_the_gate, alice, bob):
    experiment, stage = at_the_gate()
    decide_rest(bob, "easy")

    gates.close_review(stage=stage, actor=alice)
    drive(experiment, stop_at="answer")

    assert set(Candidate.objects.values_list("difficulty", flat=True)) == {"easy"}


def test_a_wrong_answer_that_nobody_corrected_is_not_trained_on_again(at_the_gate, alice, bob):
    experiment, stage = at_the_gate("append")
    trained = set(pools_of.train_pool(experiment, 1).values_list("pk", flat=True))
    wrong, kept = [row for row in queued() if row.instruction_id in trained][:2]
    reviews.decide(classification=wrong, person=bob, kind="teacher_wrong")
    decide_rest(bob, "hard")

    trained_on = train_again(experiment, stage, alice)

    assert wrong.instruction.text not in trained_on
    assert kept.instruction.text in trained_on


def test_a_corrected_but_unsafe_instruction_is_trained_on_nowhere(at_the_gate, alice, bob):
    experiment, stage = at_the_gate("append")
    item = queued()[0]
    reviews.decide(classification=item, person=bob, kind="unsafe", corrected="I will not say.")
    decide_rest(bob, "hard")

    assert item.instruction.text not in train_again(experiment, stage, alice)


def test_the_corrected_item_keeps_its_origin_and_teaches_once(at_the_gate, alice, bob):
    experiment, stage = at_the_gate()
    item = queued()[0]
    reviews.decide(classification=item, person=bob, kind="hard", corrected="Better.")
    decide_rest(bob, "hard")
    train_again(experiment, stage, alice)

    rows = Membership.objects.filter(instruction=item.instruction, pool="train", since=2)
    assert [(row.source, row.until) for row in rows] == [("seed", None)]


def test_the_training_of_the_same_iteration_and_the_held_out_file_stay_the_teachers(at_the_gate, bob):
    experiment, stage = at_the_gate()
    item = queued()[0]
    reviews.decide(classification=item, person=bob, kind="hard", corrected="Better.")
    part = Training(stage.iteration.stages.get(kind="train"))

    written = [row.response for rows in (part._train_rows(), part._heldout_rows()) for row in rows]

    assert len(written) == 12 + 6
    assert "Better." not in written
