"""The threshold page: what it counts is what SQL counts, at any threshold."""

import random

import pytest

from distill.records import Verdict
from lionweb.charts import BINS_PER_POINT
from lionweb.models import AuditEvent, Experiment, StageKind, StageStatus
from lionweb.selectors.threshold import MOST_CATEGORIES, next_stage, threshold_data, what_if
from lionweb.services.thresholds import apply_threshold
from tests import factories as make
from tests import review_factories as review

pytestmark = pytest.mark.django_db
GAPS = [1.0, 0.95, 1.05, 3.5, -0.15, None, 0.0, 1.149999999, 1.15, 2.0, -4.25, 0.999999999]


@pytest.fixture
def iteration(alice, bob):
    """Twelve judged items, of which people called three hard or easy, and one double; one of them has no scores."""
    iteration = review.waiting_iteration(alice, items=0)
    checkpoint = iteration.checkpoint
    make.classify(iteration, checkpoint, make.make_instructions(12), GAPS, for_review=True)
    make.classify(iteration, checkpoint, make.make_instructions(2, start=12), [9.0, -9.0], pool="heldout")
    items = review.items_of(iteration)
    for place, kind in ((0, "easy"), (3, "hard"), (4, "easy"), (5, "hard"), (8, "duplicate")):
        review.say(items[place], bob, kind)
    return iteration


def by_hand(iteration, tau):
    """Hard, easy and unscored after people's decisions and by the referee alone, and the agreement; row by row."""
    final, referee, agreed, n = [0, 0, 0], [0, 0, 0], 0, 0
    names = [Verdict.HARD, Verdict.EASY, Verdict.UNSCORED]
    for row in iteration.classifications.filter(pool="cache"):
        verdict = Verdict.UNSCORED if row.gap is None else Verdict.HARD if row.gap >= tau else Verdict.EASY
        referee[names.index(verdict)] += 1
        final[names.index(Verdict(row.person_verdict or verdict))] += 1
        if row.gap is not None and row.person_kind in ("hard", "easy"):
            n += 1
            agreed += row.person_kind == verdict
    return final, referee, agreed, n


def from_bins(data, tau):
    """As the page's script counts, for a tau on the edge of a bin."""
    edge = round(tau * BINS_PER_POINT) - data["first"]

    def split(name):
        return sum(data[name][max(0, edge) :]), sum(data[name][: max(0, edge)])

    (hard, easy), (open_hard, open_easy) = split("all"), split("open")
    fixed = data["fixed"]
    final = [open_hard + fixed["hard"], open_easy + fixed["easy"], data["unscored_open"] + fixed["unscored"]]
    agreed = split("hard")[0] + split("easy")[1]
    return final, [hard, easy, data["unscored"]], agreed, sum(data["hard"]) + sum(data["easy"])


def listed(split):
    return [split.hard, split.easy, split.unscored]


@pytest.mark.parametrize("tau", [-9, -4.25, -0.15, 0, 0.95, 0.999999999, 1, 1.02, 1.1, 1.149999999, 1.15, 3.5, 9])
def test_the_exact_answer_is_that_of_every_row(iteration, tau):
    final, referee, agreed, n = by_hand(iteration, tau)
    found = what_if(iteration, tau)
    assert (listed(found.final), listed(found.referee)) == (final, referee)
    assert (found.agreement.n, round((found.agreement.value or 0) * n)) == (n, agreed)


def test_counts_by_bin_give_the_same_on_every_edge(iteration):
    data = threshold_data(iteration)
    for place in range(-180, 181, 3):
        tau = place / BINS_PER_POINT
        assert from_bins(data, tau) == by_hand(iteration, tau), tau


def test_what_lies_between_a_threshold_and_its_bin_is_told_by_category(iteration):
    rows = iteration.classifications.filter(pool="cache", person_kind="", gap__gte=1.12, gap__lt=1.15)
    category = rows.get().instruction.category
    assert what_if(iteration, 1.12).cut == {category or "no category": 1}
    assert what_if(iteration, 1.15).cut == {}


def test_categories_add_up_to_the_hard_set_and_the_rare_ones_are_put_together(alice):
    experiment = make.make_experiment(alice)
    iteration = make.make_iteration(experiment, done=4)
    instructions = make.make_instructions(60)
    for place, one in enumerate(instructions):
        one.category = f"category {place % 20}"
        one.save()
    noise = random.Random(1)
    gaps = [round(noise.uniform(-3, 6), 3) for _ in instructions]
    make.classify(iteration, make.make_checkpoint(iteration), instructions, gaps)
    data = threshold_data(iteration)
    assert len(data["categories"]) == MOST_CATEGORIES + 1
    hard = sum(sum(one["open"][20 - data["first"] :]) + one["hard"] for one in data["categories"].values())
    assert hard == sum(gap >= 1 for gap in gaps)


def test_an_iteration_without_scores_has_an_empty_page(client, alice):
    iteration = make.make_iteration(make.make_experiment(alice), done=3)
    client.force_login(alice)
    answer = client.get(f"/experiments/{iteration.experiment_id}/threshold/")
    assert answer.status_code == 200
    assert "The referee is not through" in answer.content.decode()
    assert threshold_data(iteration)["all"] == []


def test_the_page_is_linked_from_the_charts_and_shows_the_counts(client, charlie, iteration):
    client.force_login(charlie)
    address = f"/experiments/{iteration.experiment_id}/threshold/?iteration=1"
    assert address in client.get(f"/experiments/{iteration.experiment_id}/").content.decode()
    page = client.get(f"{address}&tau=1.02")
    assert listed(page.context["page"].shown.final) == by_hand(iteration, 1.02)[0]
    assert "Apply this threshold" not in page.content.decode()


def test_looking_changes_nothing_and_asks_no_more_for_more_items(
    client, alice, iteration, django_assert_max_num_queries
):
    client.force_login(alice)
    before = list(iteration.classifications.order_by("pk").values())
    with django_assert_max_num_queries(8):
        found = client.get(f"/experiments/{iteration.experiment_id}/threshold/what-if/?tau=-0.2").json()
    assert found["final"]["hard"] == by_hand(iteration, -0.2)[0][0]
    assert list(iteration.classifications.order_by("pk").values()) == before
    assert not AuditEvent.objects.filter(action="threshold.apply").exists()


@pytest.mark.parametrize("tau", ["", "x", "nan", "inf", "-inf", "9.5", "1e400", "-10", "1,5"])
def test_a_threshold_that_is_none_is_refused_with_words(client, alice, iteration, tau):
    client.force_login(alice)
    for path in ("what-if", "data"):
        answer = client.get(f"/experiments/{iteration.experiment_id}/threshold/{path}/", {"tau": tau})
        assert answer.status_code == (400 if path == "what-if" else 200)
    answer = client.post(f"/experiments/{iteration.experiment_id}/threshold/apply/", {"tau": tau})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.content.decode()


def test_only_researchers_apply_and_replay(client, bob, charlie, iteration):
    for person in (bob, charlie):
        client.force_login(person)
        for path in ("apply", "replay"):
            answer = client.post(f"/experiments/{iteration.experiment_id}/threshold/{path}/", {"tau": "2"})
            assert answer.status_code == 403
    iteration.refresh_from_db()
    assert iteration.applied_tau is None


def test_applying_from_the_page(client, alice, iteration):
    client.force_login(alice)
    path = f"/experiments/{iteration.experiment_id}/threshold/apply/?iteration=1"
    answer = client.post(path, {"tau": "2.0"}, follow=True)
    assert "The threshold is 2 now; 4 verdicts of the referee changed." in answer.content.decode()
    again = client.post(path, {"tau": "2.0"})
    assert again.status_code == 409
    assert "2 already" in again.content.decode()


def test_a_generation_that_has_begun_leaves_only_the_branch(client, alice, iteration):
    iteration.stages.filter(kind=StageKind.REVIEW).update(status=StageStatus.SUCCEEDED)
    generate = iteration.stages.get(kind=StageKind.GENERATE)
    generate.status, generate.started_at = StageStatus.PAUSED, generate.iteration.created_at
    generate.save()
    client.force_login(alice)
    page = client.get(f"/experiments/{iteration.experiment_id}/threshold/").content.decode()
    assert "generation of this iteration has begun" in page
    assert "Apply this threshold" not in page
    assert "Replay as a branch" in page
    answer = client.post(f"/experiments/{iteration.experiment_id}/threshold/apply/", {"tau": "2"})
    assert answer.status_code == 409


def test_no_iteration_and_no_experiment_are_not_found(client, alice):
    experiment = make.make_experiment(alice)
    client.force_login(alice)
    assert client.get(f"/experiments/{experiment.pk}/threshold/").status_code == 404
    assert client.get("/experiments/999999/threshold/").status_code == 404
    make.make_iteration(experiment)
    assert client.get(f"/experiments/{experiment.pk}/threshold/?iteration=7").status_code == 404


class TestCostOfTheNextStage:
    def test_it_is_unknown_until_a_call_was_paid_for(self, client, alice, iteration):
        assert next_stage(iteration).cost_usd is None
        client.force_login(alice)
        assert "unknown" in client.get(f"/experiments/{iteration.experiment_id}/threshold/").content.decode()

    def test_it_is_the_mean_of_the_experiments_own_calls(self, iteration):
        stage = make.stage_of(iteration, StageKind.GENERATE)
        make.add_calls(stage, 3, "generate", 0.0004)
        make.add_calls(stage, 1, "generate", 0.0008)
        make.add_calls(stage, 5, "answer", 0.5)
        make.add_calls(stage, 5, "generate", 0.5, paid=False)
        found = next_stage(iteration)
        assert (found.calls, found.calls_measured, found.measured_here) == (16, 4, True)
        assert found.cost_usd == pytest.approx(16 * 0.0005)

    def test_without_own_calls_others_on_the_same_endpoint_tell(self, alice, iteration):
        other = make.make_iteration(make.make_experiment(alice, name="Other"), done=5)
        make.add_calls(make.stage_of(other, StageKind.GENERATE), 2, "generate", 0.001)
        found = next_stage(iteration)
        assert (found.cost_per_call, found.measured_here) == (pytest.approx(0.001), False)


def test_a_moved_threshold_stands_on_every_page_of_the_iteration(client, alice, iteration):
    apply_threshold(iteration=iteration, actor=alice, tau=1.4)
    client.force_login(alice)
    charts = client.get(f"/experiments/{iteration.experiment_id}/charts/?iteration=1").json()
    assert charts["gaps"]["tau"] == 1.4
    review_page = client.get(f"/experiments/{iteration.experiment_id}/iterations/1/review/?show=all")
    assert review_page.context["tau"] == 1.4
    assert Experiment.objects.get().settings.referee.tau == 1.0
