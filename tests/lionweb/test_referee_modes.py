"""Referee modes and rubrics in the product: what is paid, what is stored, and what the form offers."""

import pytest

from distill.fingerprints import referee_name
from distill.records import Purpose
from distill.rubric import rubric_text, rubric_version
from distill.settings import ExperimentSettings, GeneratorSettings, PoolSettings, RefereeSettings
from lionweb.models import Classification, Experiment, Review
from lionweb.selectors.rubrics import used_rubrics
from lionweb.selectors.settings_shown import settings_shown
from lionweb.services import controls
from lionweb.services.advance import begin
from tests import factories as make
from tests.fake_engine import FakeEngine, drive, outcome_of, reply_to

pytestmark = pytest.mark.django_db
NEW = "/experiments/new/"
OWN = "Weigh only whether it rhymes."


@pytest.fixture(autouse=True)
def _no_broker_and_own_artifacts(settings, tmp_path, monkeypatch):
    settings.ARTIFACTS_DIR = tmp_path
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


def with_referee(**referee):
    return ExperimentSettings(
        generator=GeneratorSettings(hard=4, easy=4),
        pools=PoolSettings(train=12, cache=16, heldout=6),
        referee=RefereeSettings(**referee),
        iterations=1,
    )


def run(alice, engine, **referee):
    experiment = make.make_experiment(alice, settings=with_referee(**referee), pool=make.make_pool(rows=40))
    controls.launch(experiment=experiment, actor=alice)
    begin(experiment=experiment)
    drive(experiment, engine=engine)
    return experiment


class TestReference:
    def test_one_call_a_pair_and_the_teacher_is_ten_by_definition(self, alice):
        engine = FakeEngine()

        run(alice, engine, mode="reference")

        assert len([r for r in engine.requests if r.purpose == Purpose.REVIEW]) == Review.objects.count() == 28
        assert set(Review.objects.values_list("order", "score_teacher")) == {("reference", 10.0)}
        for one in Classification.objects.all():
            assert one.gap == 10 - one.score_student
            assert one.referee_verdict == ("hard" if one.gap >= 1 else "easy")

    def test_an_unreadable_reply_is_asked_again_with_a_firmer_prompt(self, alice):
        seen = []

        def mumble(request):
            prompt = request.messages[-1]["content"]
            if request.purpose == Purpose.REVIEW and "This is request 2" not in prompt:
                seen.append(prompt)
                return outcome_of(request, "Nice.")
            return outcome_of(request, reply_to(request))

        run(alice, FakeEngine(mumble), mode="reference")

        assert len(seen) == 28
        assert Review.objects.filter(attempt=0, score_student=None).count() == 28
        assert Review.objects.filter(attempt=1, score_student__isnull=False).count() == 28
        assert not Classification.objects.filter(referee_verdict="unscored").exists()

    def test_a_second_experiment_in_this_mode_pays_no_review_of_the_same_words(self, alice):
        run(alice, FakeEngine(), mode="reference")
        engine = FakeEngine()
        pool = Experiment.objects.get().pool
        again = make.make_experiment(alice, name="Again", settings=with_referee(mode="reference"), pool=pool)
        controls.launch(experiment=again, actor=alice)
        begin(experiment=again)
        drive(again, engine=engine)

        texts = set(Review.objects.values_list("teacher_response", "student_response__text"))
        paid = Review.objects.filter(cost_usd__gt=0).count()
        assert paid == len(texts)


class TestSingle:
    def test_each_response_is_scored_once_and_pairs_are_put_together(self, alice):
        engine = FakeEngine()

        run(alice, engine, mode="single")

        asked = [r for r in engine.requests if r.purpose == Purpose.REVIEW]
        prompts = {r.messages[-1]["content"] for r in asked}
        assert len(asked) == len(prompts) == Review.objects.filter(cost_usd__gt=0).count()
        pairs = Review.objects.filter(order="single")
        assert pairs.count() == 28
        for pair in pairs:
            alone = Review.objects.filter(order="alone", score_student__isnull=False)
            assert pair.score_teacher == alone.get(student_response=pair.teacher_response_id).score_student
            assert pair.score_student == alone.get(student_response=pair.student_response_id).score_student
        assert not Classification.objects.filter(referee_verdict="unscored").exists()

    def test_the_teachers_responses_are_not_paid_again_for_another_student(self, alice):
        run(alice, FakeEngine(), mode="single")
        pool, engine = Experiment.objects.get().pool, FakeEngine()
        scored = set(Review.objects.filter(order="alone").values_list("student_response__text", flat=True))
        again = make.make_experiment(alice, name="Again", settings=with_referee(mode="single"), pool=pool)
        controls.launch(experiment=again, actor=alice)
        begin(experiment=again)
        drive(again, engine=engine)

        asked = [r.messages[-1]["content"] for r in engine.requests if r.purpose == Purpose.REVIEW]
        assert not [prompt for prompt in asked if any(f"\n{text}\n" in prompt for text in scored)]
        assert Classification.objects.filter(iteration__experiment=again, gap__isnull=False).count() == 28

    def test_a_response_without_a_score_leaves_its_pairs_unscored(self, alice):
        def mumble(request):
            is_teacher = "About" in request.messages[-1]["content"].split("[The Start of the Assistant's Answer]")[-1]
            silent = request.purpose == Purpose.REVIEW and is_teacher
            return outcome_of(request, "Nice." if silent else reply_to(request))

        run(alice, FakeEngine(mumble), mode="single", reask=1)

        assert Classification.objects.filter(referee_verdict="unscored").count() == 28
        assert Review.objects.filter(order="alone", score_student=None, attempt=1).count() >= 22


class TestRubric:
    def test_it_stands_in_every_prompt_and_in_the_name_of_the_reviews(self, alice):
        engine = FakeEngine()

        run(alice, engine, rubric=OWN)

        assert all(OWN in r.messages[-1]["content"] for r in engine.requests if r.purpose == Purpose.REVIEW)
        settings = with_referee(rubric=OWN)
        author = Experiment.objects.get().endpoint.author
        assert set(Review.objects.values_list("referee", flat=True)) == {referee_name(settings, author)}
        assert referee_name(settings, author) != referee_name(with_referee(), author)

    def test_rubrics_are_known_by_version_with_the_experiments_that_used_them(self, alice):
        for n, rubric in enumerate((OWN, OWN + "\r\n", "", rubric_text(""), "Other.")):
            make.make_experiment(alice, name=f"E{n}", settings=with_referee(rubric=rubric))

        assert [(one.version, one.experiments) for one in used_rubrics()] == [
            (rubric_version(OWN), 2),
            (rubric_version("Other."), 1),
        ]

    def test_the_settings_panel_shows_the_version(self):
        shown = {one.label: one for group in settings_shown(with_referee(rubric=OWN)) for one in group.settings}[
            "Rubric"
        ]

        assert shown.value == f"{rubric_version(OWN)}: {OWN}"
        assert shown.default == f"{rubric_version('')}: built-in"
        assert shown.is_changed


class TestForm:
    @pytest.fixture
    def page(self, client, alice):
        make.make_endpoint()
        make.make_experiment(alice, settings=with_referee(rubric=OWN), pool=make.make_pool(rows=200))
        client.force_login(alice)
        return client

    def send(self, client, **changes):
        form = client.get(NEW).context["form"]
        values = {one.html_name: one.value() for one in form}
        kept = {name: value for name, value in values.items() if value is not None and value is not False}
        return client.post(NEW, kept | {"name": "New", "draft": "1"} | changes)

    def test_an_earlier_rubric_is_offered_and_taken(self, page):
        assert f"{rubric_version(OWN)}: {OWN} (1 experiment)" in page.get(NEW).content.decode()

        self.send(page, earlier_rubric=rubric_version(OWN))

        assert Experiment.objects.get(name="New").settings.referee.rubric == OWN

    def test_a_rubric_can_be_written(self, page):
        self.send(page, referee__rubric="Only spelling.")

        assert Experiment.objects.get(name="New").settings.referee.rubric == "Only spelling."

    def test_a_chosen_and_another_written_one_are_not_guessed_between(self, page):
        answer = self.send(page, referee__rubric="Only spelling.", earlier_rubric=rubric_version(OWN))

        assert answer.status_code == 422
        assert "Another rubric is written above" in answer.content.decode()

    def test_the_mode_of_imported_judgements_is_not_offered(self, page):
        assert 'value="imported"' not in page.get(NEW).content.decode()
        assert self.send(page, referee__mode="imported").status_code == 422
        self.send(page, referee__mode="reference")
        assert Experiment.objects.get(name="New").settings.referee.mode == "reference"
