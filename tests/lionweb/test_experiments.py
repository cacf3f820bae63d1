"""The list of experiments, the form for a new one and what may be done by whom."""

import pytest
from django.urls import reverse

from distill.presets import PRESETS
from distill.settings import ExperimentSettings
from lionweb.models import Endpoint, Experiment, Pool, PoolKind
from lionweb.selectors.experiment_status import STATUSES, StageState, status_of
from lionweb.selectors.experiments import ListState, list_experiments
from tests import factories as make

NEW = "/experiments/new/"


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def pools(db):
    make.make_endpoint()
    return make.make_pool(rows=200), make.make_pool("Held-out", rows=60, kind=PoolKind.HELDOUT, start=200)


def filled(page, **changes):
    """What a browser would send: every value of the form as the page shows it, and the changes."""
    values = {one.html_name: one.value() for one in page.context["form"]}
    return {name: value for name, value in values.items() if value is not None and value is not False} | changes


def names(answer):
    return [row.name for row in answer.context["found"].rows]


class TestList:
    def test_without_experiments_a_researcher_is_told_what_to_do_next(self, researcher):
        page = researcher.get("/experiments/").content.decode()
        assert "No experiment yet" in page
        assert f'href="{reverse("experiment-new")}"' in page

    def test_a_viewer_sees_experiments_but_no_button(self, client, alice, charlie):
        make.make_experiment(alice)
        client.force_login(charlie)
        page = client.get("/experiments/").content.decode()
        assert "Small student" in page
        assert "New experiment" not in page

    def test_a_row_shows_iteration_spend_and_how_the_heldout_loss_fell(self, researcher, alice):
        experiment = make.make_experiment(alice)
        make.finish_iteration(experiment, 1)
        make.finish_iteration(experiment, 2)
        (row,) = researcher.get("/experiments/").context["found"].rows
        assert (row.status.name, row.iteration, row.planned, row.progress) == ("succeeded", 2, 2, 1.0)
        assert (row.loss_first, row.loss_last) == (3.2, pytest.approx(1.34))
        assert row.spend_usd == pytest.approx(2 * 111 * 0.0002)

    @pytest.mark.parametrize(
        ("done", "current", "name", "word"),
        [
            (1, "running", "running", "train 2 of 7"),
            (4, "waiting", "waiting", "waiting for review"),
            (6, "waiting", "waiting", "waiting for approval"),
            (2, "paused", "paused", "paused"),
            (0, "failed", "failed", "failed"),
            (3, "cancelled", "cancelled", "cancelled"),
            (7, None, "succeeded", "succeeded"),
            (2, None, "queued", "queued"),
        ],
    )
    def test_the_status_in_words_is_the_same_from_sql_and_python(self, researcher, alice, done, current, name, word):
        make.make_iteration(make.make_experiment(alice), done=done, current=current)
        found = list_experiments(ListState())
        assert (found.rows[0].status.name, found.rows[0].status.word) == (name, word)
        assert found.counts == dict.fromkeys(STATUSES, 0) | {name: 1}

    @pytest.mark.parametrize(("planned", "name"), [(0, "draft"), (2, "queued")])
    def test_before_the_first_iteration_it_is_a_draft_or_queued(self, researcher, alice, planned, name):
        make.make_experiment(alice, planned=planned)
        found = list_experiments(ListState())
        assert found.rows[0].status.name == name
        assert found.counts[name] == 1

    def test_between_two_planned_iterations_it_is_queued_not_succeeded(self):
        stages = [StageState("answer", "succeeded")] * 7
        assert status_of(stages, iteration=1, planned=2).name == "queued"

    def test_search_filter_sort_and_page_are_read_from_the_url(self, researcher, alice):
        for number in range(30):
            make.make_experiment(alice, f"Student {number:02}", planned=number % 2)
        assert len(names(researcher.get("/experiments/?sort=name&page=2"))) == 5
        assert names(researcher.get("/experiments/?q=student+07")) == ["Student 07"]
        assert names(researcher.get("/experiments/?status=queued&sort=-name"))[0] == "Student 29"
        assert len(names(researcher.get("/experiments/?status=draft&sort=name"))) == 15

    @pytest.mark.parametrize("key", ["name", "owner", "status", "iteration", "spend", "updated"])
    @pytest.mark.parametrize("sign", ["", "-"])
    def test_every_column_head_sorts_both_ways(self, researcher, alice, key, sign):
        make.make_experiment(alice, "One")
        make.make_iteration(make.make_experiment(alice, "Two"), done=1, current="running")
        answer = researcher.get(f"/experiments/?sort={sign}{key}")
        assert sorted(names(answer)) == ["One", "Two"]
        assert b"aria-sort" in answer.content

    @pytest.mark.parametrize("query", ["sort=password", "status=nothing", "page=abc", "page=999999", "q=%00", "page=²"])
    def test_a_word_in_the_url_that_means_nothing_is_passed_over(self, researcher, alice, query):
        make.make_experiment(alice)
        assert names(researcher.get(f"/experiments/?{query}")) == ["Small student"]

    def test_a_filter_that_fits_nothing_offers_to_show_all(self, researcher, alice):
        make.make_experiment(alice)
        assert b"No experiment fits" in researcher.get("/experiments/?q=zebra").content

    def test_only_a_list_with_something_under_way_asks_again(self, researcher, alice):
        draft = make.make_experiment(alice)
        assert b"every 2s" not in researcher.get("/experiments/").content
        make.make_iteration(draft, done=1, current="running")
        live = researcher.get("/experiments/?sort=name", headers={"HX-Request": "true"})
        assert b'hx-get="/experiments/?sort=name"' in live.content
        assert b"<html" not in live.content

    def test_a_page_of_experiments_takes_few_queries(self, researcher, alice, django_assert_max_num_queries):
        for number in range(10):
            experiment = make.make_experiment(alice, f"Student {number}")
            make.finish_iteration(experiment, 1)
        with django_assert_max_num_queries(9):
            researcher.get("/experiments/")

    def test_a_hostile_name_is_shown_as_text(self, researcher, alice):
        make.make_experiment(alice, "<script>alert(1)</script>")
        assert b"<script>alert" not in researcher.get("/experiments/").content


class TestForm:
    @pytest.mark.parametrize("name", list(PRESETS))
    def test_a_preset_fills_the_form_and_is_created_unchanged(self, researcher, alice, name):
        make.make_endpoint()
        make.make_pool(rows=240)
        page = researcher.get(f"{NEW}?preset={name}")
        answer = researcher.post(NEW, filled(page, name="From a preset", heldout_pool="", draft="1"))
        made = Experiment.objects.get()
        assert answer["Location"] == reverse("experiment", args=[made.pk])
        assert made.settings == PRESETS[name].settings
        assert (made.owner, made.planned_iterations) == (alice, 0)

    def test_create_and_launch_plans_the_iterations_of_the_settings(self, researcher, pools):
        page = researcher.get(f"{NEW}?preset=bundled-demo")
        researcher.post(NEW, filled(page, name="Runs", launch="1", iterations="2"))
        assert Experiment.objects.get().planned_iterations == 2

    def test_every_setting_of_the_engine_stands_in_the_form_with_its_help_text(self, researcher, pools):
        page = researcher.get(NEW)
        shown = {one.html_name.replace("__", "."): one.help_text for one in page.context["form"]}
        for group, values in ExperimentSettings().to_json().items():
            for name in values if isinstance(values, dict) else [""]:
                dotted = f"{group}.{name}".rstrip(".")
                assert shown[dotted], dotted

    def test_all_errors_are_found_at_once_and_all_input_is_kept(self, researcher, pools):
        page = researcher.get(f"{NEW}?preset=bundled-demo")
        wrong = {
            "training__epochs": "0",
            "training__learning_rate": "fast",
            "referee__tau": "99",
            "student__base": "my/model",
        }
        answer = researcher.post(NEW, filled(page, **wrong, name="", launch="1"))
        form, content = answer.context["form"], answer.content.decode()
        assert answer.status_code == 422
        assert form.errors["training__epochs"] == ["must be between 1 and 100, not 0."]
        assert form.errors["referee__tau"] == ["must be between -9 and 9, not 99.0."]
        assert {"name", "training__learning_rate"} <= set(form.errors)
        assert 'href="#id_training__epochs"' in content
        assert 'value="fast"' in content
        assert 'value="my/model"' in content
        assert not Experiment.objects.exists()

    def test_a_wrong_setting_behind_more_settings_opens_them(self, researcher, pools):
        page = researcher.get(NEW)
        answer = researcher.post(NEW, filled(page, name="X", training__weight_decay="7"))
        opened = {group.name: group.open_more for group in answer.context["form"].groups()}
        assert opened["training"] is True
        assert opened["teacher"] is False

    def test_a_pool_too_small_for_the_sizes_is_said_at_the_field(self, researcher, pools):
        page = researcher.get(f"{NEW}?preset=bundled-demo")
        answer = researcher.post(NEW, filled(page, name="X", pools__train="5000", draft="1"))
        assert "only 200 instructions are left" in answer.context["form"].errors["pools__train"][0]

    def test_a_clone_starts_from_the_settings_endpoint_and_pools_of_the_other(self, researcher, alice, pools):
        source = make.make_experiment(alice, "Run 7", heldout_pool=pools[1])
        page = researcher.get(f"{NEW}?clone={source.pk}")
        researcher.post(NEW, filled(page, draft="1"))
        clone = Experiment.objects.exclude(pk=source.pk).get()
        assert clone.settings == source.settings
        assert (clone.name, clone.cloned_from, clone.heldout_pool) == ("Run 8", source, pools[1])

    def test_a_second_referee_is_asked_at_the_chosen_endpoint_and_a_clone_keeps_it(self, researcher, pools):
        first, other = Endpoint.objects.get(), make.make_endpoint("Other", model="other")
        page = researcher.get(f"{NEW}?preset=paper-7b")
        values = filled(page, name="Run 1", endpoint=first.pk, pool=pools[0].pk, heldout_pool="", draft="1")
        values |= {"referee__second_referee": "sample", "pools__train": "20", "pools__cache": "20"}
        values |= {"pools__heldout": "5"}
        answer = researcher.post(NEW, values | {"second_endpoint": ""})
        assert answer.context["form"].errors["second_endpoint"] == [
            "must be chosen where a second referee is asked, or turn it off."
        ]
        answer = researcher.post(NEW, values | {"second_endpoint": first.pk})
        assert answer.context["form"].errors["second_endpoint"] == ["must be another model than the teacher's."]
        researcher.post(NEW, values | {"second_endpoint": other.pk})
        made = Experiment.objects.get()
        assert (made.second_endpoint, made.settings.referee.second_referee) == (other, "sample")
        clone = researcher.get(f"{NEW}?clone={made.pk}")
        assert clone.context["form"]["second_endpoint"].value() == other.pk

    @pytest.mark.parametrize("clone", ["999999", "abc", "-1"])
    def test_cloning_what_is_not_there_is_no_server_error(self, researcher, pools, clone):
        assert researcher.get(f"{NEW}?clone={clone}").status_code in (400, 404)

    @pytest.mark.parametrize(("preset", "source"), [("bundled-demo", "bundled"), ("paper-7b", "person")])
    def test_a_preset_comes_with_an_endpoint_that_fits_it(self, researcher, pools, preset, source):
        make.make_endpoint("Bundled", source="bundled")
        page = researcher.get(f"{NEW}?preset={preset}")
        assert Endpoint.objects.get(pk=page.context["form"]["endpoint"].value()).source == source

    def test_without_endpoint_or_pool_the_page_says_what_is_missing(self, researcher):
        page = researcher.get(NEW).content.decode()
        assert "no endpoint yet" in page
        assert "no instruction pool yet" in page

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_who_is_no_researcher_gets_403(self, client, bob, method):
        client.force_login(bob)
        answer = getattr(client, method)(NEW)
        assert answer.status_code == 403
        assert b"needs the role researcher" in answer.content


DEMO = PRESETS["bundled-demo"].settings
ANSWERS = DEMO.pools.train + DEMO.pools.heldout
MADE = DEMO.generator.hard + DEMO.generator.easy


class TestEstimate:
    def test_calls_of_the_demo_are_counted_from_the_real_pools(self, researcher, pools):
        plan = researcher.get(f"{NEW}?preset=bundled-demo").context["plan"]
        counts = plan.counts
        assert (counts.train, counts.cache, counts.heldout) == (DEMO.pools.train, DEMO.pools.cache, DEMO.pools.heldout)
        assert counts.to_answer + counts.to_compare == ANSWERS
        assert {row.purpose for row in plan.rows} == {"answer", "generate"}, "likelihood reviews are no calls"
        assert plan.new_per_iteration == MADE

    def test_the_referee_reads_every_pair_twice_and_the_base_once_more(self, researcher, pools):
        values = filled(researcher.get(f"{NEW}?preset=bundled-demo"), referee__mode="pairwise", iterations="2")
        plan = researcher.get("/experiments/new/estimate/", values).context["plan"]
        first, second = (row.calls for row in plan.rows if row.stage == "judge")
        cache, heldout = DEMO.pools.cache, DEMO.pools.heldout
        assert first.low == 2 * (cache + 2 * heldout)
        assert second.high >= 2 * (cache + MADE + heldout)
        assert plan.total.usd.expected > 0

    def test_half_typed_values_and_small_pools_give_a_sentence_not_an_error(self, researcher, pools):
        answer = researcher.get("/experiments/new/estimate/", {"pool": pools[0].pk, "pools__train": "9999999"})
        assert answer.status_code == 200
        assert b"large enough" in answer.content

    def test_without_any_value_there_is_still_an_answer(self, researcher, db):
        Pool.objects.all().delete()
        assert researcher.get("/experiments/new/estimate/").status_code == 200
