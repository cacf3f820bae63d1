"""The plan before launch: counted from the pool, measured where anything was measured, and a careful range elsewhere."""

from dataclasses import replace

import pytest

from distill.records import Purpose
from distill.settings import ExperimentSettings, GeneratorSettings, PoolSettings, RefereeSettings
from distill.teacher import answer_fingerprint
from lionweb.models import AuthorKind, Experiment, Instruction, PoolKind, Response, StageKind
from lionweb.plan import CallRatios, PoolCounts, Prices, Prompts, Range, Ratios, build_plan
from lionweb.selectors.plan import plan_of
from lionweb.selectors.reuse import saved_by_reuse
from lionweb.smoke import smoke_settings
from tests import factories as make
from tests.lionweb.test_experiments import filled

SETTINGS = ExperimentSettings(
    pools=PoolSettings(train=20, cache=20, heldout=5), generator=GeneratorSettings(hard=4, easy=6), iterations=3
)
ONE = Range.exactly(1)
PLAIN = CallRatios("endpoint", 100, ONE, Range.exactly(50), Range.exactly(2))
PROMPTS = Prompts(*(Range.exactly(tokens) for tokens in (10, 20, 100, 200, 40)))
RATIOS = Ratios(PLAIN, PLAIN, PLAIN, PROMPTS, kept_share=ONE)
COUNTS = PoolCounts(train=20, cache=20, heldout=5, to_answer=25, to_compare=0, answered=3, answered_cache=0)
PRICES = Prices(1.0, 2.0, max_concurrency=10)


def calls(plan):
    return [(row.iteration, row.stage, row.calls.expected) for row in plan.rows]


class TestArithmetic:
    def test_each_stage_of_each_iteration_is_counted(self):
        assert calls(build_plan(SETTINGS, COUNTS, RATIOS, PRICES)) == [
            (1, "answer", 22),
            (1, "judge", 60),
            (1, "generate", 10),
            (2, "answer", 10),
            (2, "judge", 70),
            (2, "generate", 10),
            (3, "answer", 10),
            (3, "judge", 90),
            (3, "generate", 10),
        ]

    def test_a_cache_pool_beyond_the_train_pool_is_answered_in_compare(self):
        counts = replace(COUNTS, cache=50, to_compare=30, answered_cache=4)
        assert (1, "compare", 26) in calls(build_plan(SETTINGS, counts, RATIOS, PRICES))

    def test_the_likelihood_referee_makes_no_call(self):
        settings = replace(SETTINGS, referee=RefereeSettings(mode="likelihood"))
        assert "judge" not in {stage for _, stage, _ in calls(build_plan(settings, COUNTS, RATIOS, PRICES))}

    @pytest.mark.parametrize(
        ("mode", "reviews"), [("pairwise", [60, 70, 90]), ("reference", [30, 35, 45]), ("single", [55, 45, 55])]
    )
    def test_each_mode_of_referee_needs_its_own_calls(self, mode, reviews):
        settings = replace(SETTINGS, referee=RefereeSettings(mode=mode))
        judged = [count for _, stage, count in calls(build_plan(settings, COUNTS, RATIOS, PRICES)) if stage == "judge"]
        assert judged == reviews

    def test_what_is_asked_again_and_a_second_referee_are_counted(self):
        referee = RefereeSettings(stability_percent=50, second_referee="sample", second_percent=10)
        prices = replace(PRICES, second=Prices(100.0, 100.0))
        plain, more = (
            build_plan(replace(SETTINGS, referee=one), COUNTS, RATIOS, prices).rows[1]
            for one in (RefereeSettings(), referee)
        )
        assert (more.stage, plain.calls.expected, more.calls.expected) == ("judge", 60, 60 + 20 + 4)
        again, second = 20 * (100 * 1 + 50 * 2) / 1e6, 4 * (100 + 50) * 100 / 1e6
        assert more.usd.expected == pytest.approx(plain.usd.expected + again + second)

    def test_it_rests_on_the_ratios_of_what_is_paid_for_alone(self):
        settings = replace(SETTINGS, referee=RefereeSettings(mode="likelihood"))
        assert set(build_plan(settings, COUNTS, RATIOS, PRICES).basis) == {"answer", "generate"}
        assert set(build_plan(SETTINGS, COUNTS, RATIOS, PRICES).basis) == {"answer", "review", "generate"}

    def test_money_follows_from_tokens_and_prices(self):
        row = build_plan(SETTINGS, COUNTS, RATIOS, PRICES).rows[0]
        assert (row.prompt_tokens.expected, row.completion_tokens.expected) == (220, 1100)
        assert row.usd.expected == pytest.approx((220 * 1 + 1100 * 2) / 1e6)
        assert row.batch_usd is None

    def test_batches_make_answers_and_reviews_cheaper_but_not_the_generator(self):
        prices = replace(PRICES, batch_input_usd=0.5, batch_output_usd=1.0)
        rows = build_plan(SETTINGS, COUNTS, RATIOS, prices).rows
        for row in rows:
            assert row.batch_usd.expected == pytest.approx(row.usd.expected / (1 if row.stage == "generate" else 2))

    def test_reviews_of_new_instructions_have_prompts_of_their_own(self):
        judged = [row for row in build_plan(SETTINGS, COUNTS, RATIOS, PRICES).rows if row.stage == "judge"]
        assert [row.prompt_tokens.expected for row in judged] == pytest.approx(
            [6000, 50 * 100 + 20 * 200, 50 * 100 + 40 * 200]
        )

    def test_time_is_latency_by_concurrency_and_never_faster_than_the_limits(self):
        plain = build_plan(SETTINGS, COUNTS, RATIOS, PRICES).rows[1]
        slow = build_plan(SETTINGS, COUNTS, RATIOS, replace(PRICES, requests_per_minute=10)).rows[1]
        assert plain.seconds.expected == 60 / 10 * 2
        assert slow.seconds.expected == 360

    def test_the_sum_keeps_the_ranges(self):
        ratios = replace(RATIOS, answer=replace(PLAIN, calls_per_item=Range(1, 1.1, 2)))
        total = build_plan(SETTINGS, COUNTS, ratios, PRICES).total
        assert total.calls.low < total.calls.expected < total.calls.high


@pytest.mark.django_db
class TestMeasuring:
    def test_without_any_measurement_it_says_so_and_the_range_is_wide(self):
        plan = plan_of(SETTINGS, make.make_pool(rows=40), None, make.make_endpoint())
        assert plan.has_defaults
        assert {one.source for one in plan.ratios.sources.values()} == {"default"}
        assert plan.total.tokens.high > 3 * plan.total.tokens.low

    def test_too_small_a_pool_has_no_plan(self):
        assert plan_of(SETTINGS, make.make_pool(rows=22), None, make.make_endpoint()) is None

    def test_answers_that_are_there_are_subtracted(self):
        pool, endpoint = make.make_pool(rows=25), make.make_endpoint()
        for row in Instruction.objects.all()[:7]:
            answer(row, endpoint)
        plan = plan_of(SETTINGS, pool, None, endpoint)
        assert (plan.counts.to_answer, plan.counts.answered) == (25, 7)

    def test_other_sampling_settings_are_other_answers(self):
        pool, endpoint = make.make_pool(rows=25), make.make_endpoint()
        for row in Instruction.objects.all()[:7]:
            answer(row, endpoint, sampling_hash="other")
        assert plan_of(SETTINGS, pool, None, endpoint).counts.answered == 0

    def test_a_heldout_set_of_its_own_is_counted_beside_the_pool(self):
        held = make.make_pool("Held", rows=9, kind=PoolKind.HELDOUT, start=50)
        plan = plan_of(SETTINGS, make.make_pool(rows=40), held, make.make_endpoint())
        assert (plan.counts.heldout, plan.counts.to_answer) == (5, 25)

    def test_calls_of_the_same_endpoint_are_measured_first_then_those_of_the_model(self, alice):
        endpoint = make.make_endpoint("first")
        stage = make.make_iteration(make.make_experiment(alice, endpoint=endpoint)).stages.get(kind=StageKind.ANSWER)
        make.add_calls(stage, 30)
        pool = make.make_pool("Other pool", rows=40, start=60)
        assert plan_of(SETTINGS, pool, None, endpoint).ratios.answer.source == "endpoint"
        twin = make.make_endpoint("second", base_url="https://elsewhere.example.org/v1")
        ratios = plan_of(SETTINGS, pool, None, twin).ratios
        assert (ratios.answer.source, ratios.answer.completion_tokens.expected) == ("model", 70)
        stranger = make.make_endpoint("third", model="another")
        assert plan_of(SETTINGS, pool, None, stranger).ratios.answer.source == "default"

    def test_a_reply_is_never_planned_longer_than_it_may_be(self, alice):
        endpoint = make.make_endpoint("first")
        stage = make.make_iteration(make.make_experiment(alice, endpoint=endpoint)).stages.get(kind=StageKind.JUDGE)
        make.add_calls(stage, 30, Purpose.REVIEW)
        settings = replace(SETTINGS, referee=RefereeSettings(max_tokens=16))
        plan = plan_of(settings, make.make_pool("Other pool", rows=40), None, endpoint)
        assert plan.ratios.review.completion_tokens == Range.exactly(16)


def answer(instruction, endpoint, sampling_hash=None):
    return Response.objects.create(
        instruction=instruction,
        author_kind=AuthorKind.TEACHER,
        author=endpoint.author,
        sampling_hash=sampling_hash or answer_fingerprint(SETTINGS.teacher),
        text="An answer.",
        finish="stop",
        prompt_tokens=10,
        completion_tokens=20,
        cost_usd=0.25,
    )


@pytest.mark.django_db
class TestPages:
    @pytest.fixture
    def researcher(self, client, alice, monkeypatch):
        monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)
        client.force_login(alice)
        return client

    def test_the_form_shows_the_plan_and_says_what_it_rests_on(self, researcher):
        make.make_endpoint()
        make.make_pool(rows=200)
        page = researcher.get("/experiments/new/").content.decode()
        assert 'id="plan"' in page
        assert "never measured here" in page

    def test_an_endpoint_without_a_price_shows_tokens_and_time(self, researcher):
        make.make_endpoint(input_usd_per_million=0, output_usd_per_million=0)
        make.make_pool(rows=200)
        page = researcher.get("/experiments/new/").content.decode()
        assert "This endpoint has no price" in page

    def test_a_smoke_run_is_small_and_begins_at_once(self, researcher):
        make.make_endpoint()
        make.make_pool(rows=200)
        values = filled(researcher.get("/experiments/new/"), name="Big", pools__train=100, pools__cache=100)
        researcher.post("/experiments/new/", values | {"smoke": "1"})
        made = Experiment.objects.get()
        assert made.name == "Smoke run: Big"
        settings = made.settings
        assert (settings.pools.train, settings.pools.cache, settings.pools.heldout) == (8, 8, 4)
        assert (settings.generator.hard, settings.generator.easy, settings.iterations) == (2, 2, 1)
        assert made.planned_iterations == 1

    def test_the_plan_page_compares_with_what_was_counted(self, researcher, alice):
        experiment = make.make_experiment(alice, settings=SETTINGS)
        make.finish_iteration(experiment)
        page = researcher.get(f"/experiments/{experiment.pk}/plan/")
        assert page.context["page"].iterations[0].rows[0].counted.calls == 30
        assert 'id="compared"' in page.content.decode()

    def test_a_draft_has_a_plan_too(self, researcher, alice):
        experiment = make.make_experiment(alice, settings=SETTINGS)
        assert researcher.get(f"/experiments/{experiment.pk}/plan/").status_code == 200
        assert researcher.get("/experiments/999/plan/").status_code == 404


def test_a_smoke_run_is_never_larger_than_what_it_tries():
    small = replace(
        SETTINGS, pools=PoolSettings(train=3, cache=0, heldout=2), generator=GeneratorSettings(hard=1, easy=0)
    )
    smoke = smoke_settings(small)
    assert (smoke.pools.train, smoke.pools.cache, smoke.pools.heldout) == (3, 8, 2)
    assert (smoke.generator.hard, smoke.generator.easy) == (1, 0)
    assert smoke.teacher == small.teacher


@pytest.mark.django_db
def test_what_reuse_saved_is_what_was_used_less_what_was_paid(alice):
    experiment = make.make_experiment(alice, settings=SETTINGS)
    make.make_iteration(experiment)
    members = make.make_instructions(6)
    make.add_members(experiment, "train", members)
    for row in members[:4]:
        answer(row, experiment.endpoint)
    saved = saved_by_reuse(experiment)
    assert (saved.answers, saved.answer_tokens, saved.answer_usd) == (4, 120, 1.0)
