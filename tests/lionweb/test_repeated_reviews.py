"""Second askings and second referees in the loop: what they cost, what they leave alone, and what they average."""

from dataclasses import replace

import pytest

from distill.errors import SettingsError
from distill.settings import RefereeSettings
from lionweb.models import Classification, ModelCall, Response, Review
from lionweb.selectors.referee_sums import referee_of
from lionweb.selectors.reuse import saved_by_reuse
from lionweb.selectors.review import Look, review_item
from lionweb.services.errors import Refused
from lionweb.services.experiments import create_experiment
from lionweb.services.replays import replay
from lionweb.stages.registry import parts_of
from lionweb.stages.repeated_reviews import AGAIN, second_name
from tests import factories as make
from tests.fake_engine import FakeEngine, drive
from tests.lionweb.test_iteration_loop import launch, settings_with

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_broker_and_own_artifacts(settings, tmp_path, monkeypatch):
    settings.ARTIFACTS_DIR = tmp_path
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


def run(alice, second=False, **referee):
    other = make.make_endpoint("Other", base_url="https://other.example.org/v1", model="other") if second else None
    first = make.make_endpoint()
    settings = settings_with(referee=RefereeSettings(**referee))
    experiment = make.make_experiment(
        alice, settings=settings, pool=make.make_pool(rows=40), endpoint=first, second_endpoint=other
    )
    launch(experiment, alice)
    engine = FakeEngine()
    drive(experiment, engine=engine, stop_at="generate")
    return experiment, engine


def test_nothing_is_asked_twice_by_default(alice):
    experiment, _ = run(alice)

    assert set(Review.objects.values_list("referee", flat=True)) == {referee_of(experiment.iterations.get())}


def test_a_second_asking_stands_apart_and_leaves_verdicts_alone(alice):
    experiment, _ = run(alice, stability_percent=100)
    iteration = experiment.iterations.get()

    again = Review.objects.filter(referee=referee_of(iteration) + AGAIN)
    assert again.count() == 2 * 16
    assert not again.filter(student_response__checkpoint__number=0).exists()
    for row in Classification.objects.filter(iteration=iteration):
        own = Review.objects.filter(referee=referee_of(iteration), student_response=row.student_response)
        assert row.score_teacher == pytest.approx(sum(one.score_teacher for one in own) / 2)


def test_a_sample_is_the_same_pairs_whenever_it_is_drawn(alice):
    experiment, _ = run(alice, second=True, second_referee="sample", second_percent=50)

    second = Review.objects.filter(referee=second_name(experiment))
    assert 0 < second.count() < 2 * 16
    calls = ModelCall.objects.filter(endpoint=experiment.second_endpoint)
    assert calls.count() == second.count()
    assert set(calls.values_list("purpose", flat=True)) == {"review"}


def test_an_average_of_two_referees_makes_the_verdict(alice):
    experiment, _ = run(alice, second=True, second_referee="average")
    iteration = experiment.iterations.get()

    for row in Classification.objects.filter(iteration=iteration):
        all_four = Review.objects.filter(student_response=row.student_response)
        assert all_four.count() == 4
        assert row.score_teacher == pytest.approx(sum(one.score_teacher for one in all_four) / 4)


def test_the_length_adjusted_gap_takes_out_the_same_slope_in_every_batch(alice, monkeypatch):
    monkeypatch.setattr("lionweb.stages.classify.BATCH", 5)
    experiment, _ = run(alice, length_adjusted=True)
    rows = list(Classification.objects.filter(iteration__experiment=experiment).select_related("teacher_response"))

    from distill.length_adjustment import fitted_slope, length_difference

    def difference(row):
        student = Response.objects.get(pk=row.student_response_id)
        return length_difference(row.teacher_response.text, student.text)

    raw = {row.pk: row.score_teacher - row.score_student for row in rows}
    slope = fitted_slope((difference(row), raw[row.pk]) for row in rows if row.pool == "cache")
    assert slope != 0
    for row in rows:
        assert row.gap == pytest.approx(raw[row.pk] - slope * difference(row))
        assert row.referee_verdict == ("hard" if row.gap >= 1 else "easy")


def test_a_second_referee_needs_another_endpoint(alice):
    teacher, pool = make.make_endpoint(), make.make_pool()
    settings = replace(make.SMALL, referee=RefereeSettings(second_referee="sample"))
    for second in (None, teacher):
        with pytest.raises(SettingsError) as told:
            create_experiment(
                owner=alice, name="x", endpoint=teacher, pool=pool, heldout_pool=None, settings=settings,
                second_endpoint=second,
            )  # fmt: skip
        assert told.value.field == "second_endpoint"


@pytest.mark.parametrize("given", [{"stability_percent": 5.0}, {"second_referee": "average"}])
def test_likelihood_takes_neither(given):
    with pytest.raises(SettingsError, match="likelihood"):
        RefereeSettings(mode="likelihood", **given)


def test_the_review_page_shows_the_scores_of_the_referee_itself(alice):
    experiment, _ = run(alice, second=True, stability_percent=100, second_referee="sample", second_percent=100)
    row = Classification.objects.filter(pool="cache", gap__isnull=False).order_by("pk")[0]
    others = Review.objects.exclude(referee=referee_of(experiment.iterations.get()))
    assert others.filter(student_response=row.student_response).count() == 4
    others.update(score_teacher=1, score_student=1, attempt=1)

    shown = review_item(row.pk, alice, gates=experiment.settings.gates, look=Look(), is_closed=False).scores

    assert sum(one.score_teacher for one in shown) / 2 == pytest.approx(row.score_teacher)


def test_repeated_reviews_that_others_paid_for_count_as_saved(alice):
    experiment, _ = run(alice, second=True, stability_percent=100, second_referee="sample", second_percent=100)
    assert saved_by_reuse(experiment).reviews == 0
    bought = ModelCall.objects.filter(experiment=experiment, purpose="review", outcome="ok").order_by("pk")
    ModelCall.objects.filter(pk__in=list(bought.values_list("pk", flat=True)[:3])).delete()

    assert saved_by_reuse(experiment).reviews == 3


def test_a_replay_whose_second_referee_is_another_one_now_is_refused(alice):
    experiment, _ = run(alice, second=True, second_referee="average")
    type(experiment.second_endpoint).objects.filter(pk=experiment.second_endpoint_id).update(model="another")

    with pytest.raises(Refused, match="a referee's endpoint names another model"):
        replay(iteration=experiment.iterations.get(), actor=alice, name="Branch")


def test_a_replay_averages_both_referees_again(alice):
    experiment, _ = run(alice, second=True, second_referee="average", length_adjusted=True)
    iteration = experiment.iterations.get()

    branch = replay(iteration=iteration, actor=alice, name="Branch")

    fields = ("instruction_id", "checkpoint__number", "gap", "referee_verdict")
    before, after = (
        list(one.classifications.order_by(*fields[:2]).values_list(*fields))
        for one in (iteration, branch.iterations.get())
    )
    assert before == after
    assert any(gap is not None for _, _, gap, _ in before)


def test_a_replay_of_responses_scored_by_themselves_asks_for_nothing_again(alice):
    experiment, _ = run(alice, mode="single")
    iteration = experiment.iterations.get()

    copied = replay(iteration=iteration, actor=alice, name="Branch").iterations.get()

    fields = ("instruction_id", "checkpoint__number", "gap", "referee_verdict")
    before, after = (
        list(one.classifications.order_by(*fields[:2]).values_list(*fields)) for one in (iteration, copied)
    )
    assert before == after
    assert [part.open_rows() for part in parts_of(copied.stages.get(kind="judge"))] == [0, 0, 0]
    alone = Review.objects.filter(order="alone", student_response__author_kind="teacher")
    students = Review.objects.filter(order="alone", student_response__checkpoint__experiment=copied.experiment)
    assert saved_by_reuse(copied.experiment).reviews == alone.count() + students.count() > 0
