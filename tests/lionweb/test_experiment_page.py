"""The page of one experiment: what it shows in every state, and its buttons."""

from datetime import timedelta

import pytest
from django.utils import timezone

from lionweb.models import ItemFailure, ModelCall, StageEvent, StageKind
from lionweb.selectors.experiment import experiment_page
from lionweb.selectors.stage_log import PAGE_SIZE
from lionweb.services import controls
from lionweb.services.errors import Refused
from tests import factories as make

BUTTONS = ("launch", "pause", "resume", "cancel", "clone", "queue-more")


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def experiment(alice):
    return make.make_experiment(alice)


def url(experiment, rest=""):
    return f"/experiments/{experiment.pk}/{rest}"


def buttons(page):
    return {name for name in BUTTONS if f'id="{name}"' in page.content.decode()}


def stage(page, kind):
    return next(one for one in page.context["page"].stages if one.kind == kind)


class TestStates:
    def test_a_draft_shows_its_settings_and_one_button_to_launch(self, researcher, experiment):
        page = researcher.get(url(experiment))
        assert b"Launch 3 iterations" in page.content
        assert b"Novelty threshold" in page.content
        assert buttons(page) == {"launch", "clone"}

    @pytest.mark.parametrize(
        ("done", "current", "shown"),
        [
            (1, "running", {"pause", "cancel", "queue-more", "clone"}),
            (4, "waiting", {"pause", "cancel", "queue-more", "clone"}),
            (2, "paused", {"resume", "cancel", "queue-more", "clone"}),
            (2, "failed", {"cancel", "clone"}),
            (2, "cancelled", {"resume", "clone"}),
            (7, None, {"launch", "clone"}),
        ],
    )
    def test_each_state_offers_the_buttons_that_apply(self, researcher, experiment, done, current, shown):
        make.make_iteration(experiment, done=done, current=current)
        assert buttons(researcher.get(url(experiment))) == shown

    def test_a_viewer_sees_everything_but_no_button(self, client, experiment, charlie):
        make.make_iteration(experiment, done=1, current="failed", error={"code": "x", "cause": "C.", "advice": "A."})
        client.force_login(charlie)
        page = client.get(url(experiment))
        assert buttons(page) == set()
        assert b"Retry" not in page.content
        assert b"C." in page.content

    def test_a_failure_says_cause_advice_and_offers_the_log_and_a_retry(self, researcher, experiment):
        error = {"code": "key_rejected", "cause": "The key was rejected <401>.", "advice": "Enter a new key."}
        iteration = make.make_iteration(experiment, done=0, current="failed", error=error)
        page = researcher.get(url(experiment)).content.decode()
        assert "Answer failed: The key was rejected &lt;401&gt;." in page
        assert "Enter a new key." in page
        assert 'href="#log"' in page
        assert f"/stages/{make.stage_of(iteration, StageKind.ANSWER).pk}/retry/" in page

    @pytest.mark.parametrize("done", [4, 6])
    def test_a_gate_leads_to_the_page_where_people_decide(self, researcher, experiment, done):
        make.make_iteration(experiment, done=done, current="waiting")
        assert b'id="gate"' in researcher.get(url(experiment)).content

    def test_a_gate_says_how_many_decisions_are_open(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=4, current="waiting")
        make.classify(
            iteration, make.make_checkpoint(iteration), make.make_instructions(3), [2, 1, None], for_review=True
        )
        assert b"Waiting for review: 3 open" in researcher.get(url(experiment)).content

    def test_a_gate_that_had_nothing_to_decide_is_not_counted_as_work(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=7)
        iteration.stages.filter(kind__in=("review", "approve")).update(total=0, done=0)
        assert b"gate for people" in researcher.get(url(experiment)).content

    def test_an_experiment_or_iteration_that_is_not_there_is_404(self, researcher, experiment):
        assert researcher.get("/experiments/999999/").status_code == 404
        for number in ("7", "x", "-1", "99999999999999999999"):
            assert researcher.get(url(experiment, f"?iteration={number}")).status_code == 404

    def test_the_404_page_leads_back(self, researcher):
        assert b"To the experiments" in researcher.get("/nowhere/").content


class TestNumbers:
    def test_key_numbers_are_those_of_the_iteration(self, researcher, experiment):
        make.finish_iteration(experiment, 1, hard=9, easy=13, unscored=2)
        numbers = researcher.get(url(experiment)).context["page"].numbers
        assert (numbers.loss_before, numbers.loss_after) == (3.2, 1.44)
        assert numbers.loss_change == pytest.approx(-0.55)
        assert (numbers.hard, numbers.easy, numbers.unscored, numbers.classified) == (9, 13, 2, 24)
        assert (numbers.generated, numbers.accepted) == (21, 16)
        assert numbers.rejected == (("near_duplicate", 4), ("refusal", 1))
        assert numbers.gap_before > numbers.gap_after > 0

    def test_the_second_iteration_compares_with_the_first_checkpoint(self, researcher, experiment):
        make.finish_iteration(experiment, 1)
        make.finish_iteration(experiment, 2)
        first = experiment_page(experiment.pk, 1).numbers
        assert experiment_page(experiment.pk, 2).numbers.gap_before == first.gap_after

    def test_a_persons_verdict_counts_instead_of_the_referees(self, researcher, experiment):
        iteration = make.finish_iteration(experiment, 1, hard=9, easy=13)
        easy = iteration.classifications.filter(pool="cache", referee_verdict="easy").first()
        easy.person_verdict = "hard"
        easy.save(update_fields=["person_verdict"])
        numbers = experiment_page(experiment.pk).numbers
        assert (numbers.hard, numbers.overridden) == (10, 1)

    def test_calls_tokens_and_spend_are_sums_of_the_ledger(self, researcher, experiment):
        iteration = make.finish_iteration(experiment, 1)
        make.add_calls(make.stage_of(iteration, StageKind.ANSWER), 5, outcome="rate_limited", paid=False)
        page = experiment_page(experiment.pk)
        assert (page.spend.paid_calls, page.spend.tokens) == (111, 111 * 110)
        assert page.spend.cost_usd == pytest.approx(0.0222)
        answer = page.stages[0].paid
        assert (answer.calls, answer.paid_calls) == (35, 30)

    def test_before_anything_is_measured_dashes_stand_there(self, researcher, experiment):
        make.make_iteration(experiment, done=0, current="running")
        assert experiment_page(experiment.pk).numbers.loss_after is None
        assert "–" in researcher.get(url(experiment)).content.decode()


class TestStrip:
    def test_a_running_stage_shows_rate_and_time_left(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=2, current="running", total=100)
        iteration.stages.filter(kind="compare").update(done=40)
        began = timezone.now() - timedelta(seconds=20)
        StageEvent.objects.filter(stage__kind="compare", to_status="running").update(at=began)
        compare = stage(researcher.get(url(experiment)), "compare")
        assert compare.items_per_second == pytest.approx(2, rel=0.05)
        assert compare.seconds_left == pytest.approx(30, rel=0.05)

    def test_a_pause_does_not_slow_the_rate_of_a_stage_that_makes_calls(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=0, current="running", total=100)
        answer = make.stage_of(iteration, StageKind.ANSWER)
        iteration.stages.filter(pk=answer.pk).update(done=60, started_at=timezone.now() - timedelta(days=1))
        StageEvent.objects.filter(stage=answer).update(at=timezone.now() - timedelta(minutes=5))
        make.add_calls(answer, 30)
        ModelCall.objects.bulk_create(
            ModelCall(
                experiment=experiment,
                endpoint=experiment.endpoint,
                stage=answer,
                purpose="answer",
                outcome="ok",
                paid=True,
            )
            for _ in range(30)
        )
        ModelCall.objects.filter(pk__in=ModelCall.objects.values("pk")[:30]).update(
            at=timezone.now() - timedelta(hours=20)
        )
        assert stage(researcher.get(url(experiment)), "answer").items_per_second == pytest.approx(0.5, rel=0.01)

    def test_training_shows_its_tokens_per_second(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=1, current="running")
        make.add_metrics(make.stage_of(iteration, StageKind.TRAIN), steps=5)
        assert stage(researcher.get(url(experiment)), "train").tokens_per_second == pytest.approx(326, abs=40)

    def test_items_that_failed_for_good_are_counted_with_their_most_frequent_messages(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=0, current="running", failed_items=3)
        answer = make.stage_of(iteration, StageKind.ANSWER)
        for key, message in (("a", "Timed out."), ("b", "Timed out."), ("c", "Refused.")):
            ItemFailure.objects.create(stage=answer, key=key, message=message)
        page = researcher.get(url(experiment))
        assert stage(page, "answer").failures == (("Timed out.", 2), ("Refused.", 1))
        assert b"3 failed" in page.content


class TestLive:
    def test_the_live_part_is_the_same_as_on_the_page(self, researcher, experiment):
        make.make_iteration(experiment, done=1, current="running", started_at=None)
        whole = researcher.get(url(experiment)).content.decode()
        part = researcher.get(url(experiment, "live/")).content.decode()
        assert part.strip()[:4000] in whole

    def test_it_asks_again_while_running_and_stops_when_it_has_ended(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=6, current="running")
        assert b"every 2s" in researcher.get(url(experiment, "live/")).content
        iteration.stages.update(status="succeeded")
        assert b"every 2s" not in researcher.get(url(experiment, "live/")).content
        assert b"every 2s" not in researcher.get(url(experiment, "log/")).content

    def test_a_past_iteration_stays_chosen_while_a_later_one_runs(self, researcher, experiment):
        make.finish_iteration(experiment, 1)
        make.make_iteration(experiment, 2, done=1, current="running")
        page = researcher.get(url(experiment, "?iteration=1"))
        assert page.context["page"].iteration.number == 1
        assert f'hx-get="{url(experiment, "live/")}?iteration=1"' in page.content.decode()
        assert page.context["page"].status.word == "train 2 of 7"

    def test_the_log_brings_only_new_lines_and_its_next_question(self, researcher, experiment):
        iteration = make.make_iteration(experiment, done=0, current="running")
        answer = make.stage_of(iteration, StageKind.ANSWER)
        old = StageEvent.objects.create(stage=answer, message="old line")
        new = StageEvent.objects.create(stage=answer, message="<b>new</b> line")
        page = researcher.get(url(experiment, f"log/?after={old.pk}")).content.decode()
        assert "old line" not in page
        assert "&lt;b&gt;new&lt;/b&gt; line" in page
        assert f"after={new.pk}" in page
        nothing = researcher.get(url(experiment, f"log/?after={new.pk}")).content.decode()
        assert nothing.count("<li") == 1

    def test_a_long_log_begins_with_its_end(self, researcher, experiment):
        answer = make.stage_of(make.make_iteration(experiment, done=0, current="running"), StageKind.ANSWER)
        StageEvent.objects.bulk_create(StageEvent(stage=answer, message=f"line {n}") for n in range(PAGE_SIZE + 50))
        short, whole = researcher.get(url(experiment)), researcher.get(url(experiment, "?log=all"))
        assert short.context["log"].earlier
        assert len(short.context["log"].lines) == PAGE_SIZE
        assert len(whole.context["log"].lines) == PAGE_SIZE + 51

    def test_a_line_number_that_is_none_is_a_bad_request(self, researcher, experiment):
        answer = researcher.get(url(experiment, "log/?after=abc"))
        assert answer.status_code == 400
        assert b"makes no sense" in answer.content

    def test_the_page_and_its_live_part_take_few_queries(self, researcher, experiment, django_assert_max_num_queries):
        for number in range(1, 4):
            make.finish_iteration(experiment, number)
        make.make_iteration(experiment, 4, done=1, current="running")
        with django_assert_max_num_queries(16):
            researcher.get(url(experiment))
        with django_assert_max_num_queries(14):
            researcher.get(url(experiment, "live/"))


class TestButtons:
    @pytest.mark.parametrize("action", ["launch", "pause", "resume", "cancel"])
    def test_a_button_pressed_by_who_may_not_is_403_and_changes_nothing(self, client, experiment, bob, action):
        make.make_iteration(experiment, done=1, current="running")
        client.force_login(bob)
        answer = client.post(url(experiment, f"{action}/"))
        assert answer.status_code == 403
        assert b"needs the role researcher" in answer.content
        assert experiment.iterations.get().stages.get(kind="train").status == "running"

    @pytest.mark.parametrize("action", ["launch", "pause", "resume", "cancel"])
    def test_a_link_cannot_press_a_button(self, researcher, experiment, action):
        assert researcher.get(url(experiment, f"{action}/")).status_code == 405

    @pytest.mark.parametrize(("planned", "count"), [(0, 3), (3, 1)])
    def test_the_first_launch_plans_all_iterations_a_later_one_a_single(
        self, researcher, experiment, monkeypatch, planned, count
    ):
        experiment.planned_iterations = planned
        experiment.save()
        asked = []
        monkeypatch.setattr(controls, "launch", lambda **given: asked.append(given))
        assert researcher.post(url(experiment, "launch/"))["Location"] == url(experiment)
        assert (asked[0]["count"], asked[0]["experiment"]) == (count, experiment)

    def test_a_refusal_is_shown_as_a_message(self, researcher, experiment, monkeypatch):
        def refuse(**_):
            raise Refused("Nothing is paused.", "Launch it instead.")

        monkeypatch.setattr(controls, "resume", refuse)
        page = researcher.post(url(experiment, "resume/"), follow=True)
        assert b"Nothing is paused. Launch it instead." in page.content

    def test_retry_names_the_stage_that_failed(self, researcher, experiment, monkeypatch):
        failed = make.stage_of(make.make_iteration(experiment, done=1, current="failed"), StageKind.TRAIN)
        asked = []
        monkeypatch.setattr(controls, "retry", lambda **given: asked.append(given["stage"]))
        assert researcher.post(f"/stages/{failed.pk}/retry/")["Location"] == url(experiment)
        assert asked == [failed]
        assert researcher.post("/stages/999999/retry/").status_code == 404
