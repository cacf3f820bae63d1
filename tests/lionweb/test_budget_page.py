"""The budget on the pages: set with a new experiment, shown beside the spend, raised where it paused."""

import pytest

from lionweb.models import Experiment, StageStatus
from lionweb.services.budget import raise_budget
from tests import factories as make
from tests.lionweb.test_experiments import filled

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch):
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: None)


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def paused(alice):
    endpoint = make.make_endpoint("paid", input_usd_per_million=1.0, output_usd_per_million=1.0)
    experiment = make.make_experiment(alice, endpoint=endpoint, budget_usd=0.0048)
    iteration = make.make_iteration(experiment, current=StageStatus.PAUSED, paused_for="budget")
    make.add_first_pools(experiment)
    make.add_calls(iteration.stages.get(kind="answer"), 24)
    return experiment


def test_a_budget_is_set_with_a_new_experiment_and_taken_over_by_a_clone(researcher):
    make.make_endpoint()
    make.make_pool(rows=200)
    page = researcher.get("/experiments/new/")
    values = filled(page, name="Careful", budget_usd="2.5", pools__train=20, pools__cache=20, pools__heldout=5)
    researcher.post("/experiments/new/", values | {"draft": "1"})
    made = Experiment.objects.get()
    assert made.budget_usd == 2.5
    assert researcher.get(f"/experiments/new/?clone={made.pk}").context["form"]["budget_usd"].value() == 2.5


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "inf", "much"])
def test_what_is_no_amount_is_refused_beside_the_field(researcher, wrong):
    make.make_endpoint()
    make.make_pool(rows=200)
    page = researcher.post("/experiments/new/", filled(researcher.get("/experiments/new/"), name="x", budget_usd=wrong))
    assert page.status_code == 422
    assert page.context["form"]["budget_usd"].errors


def test_the_page_says_what_was_spent_and_offers_to_raise(researcher, paused):
    page = researcher.get(f"/experiments/{paused.pk}/").content.decode()
    assert "paused (budget)" in page
    assert "$0.0048 of $0.0048 spent" in page
    assert 'id="raise"' in page
    assert "Teacher answers <strong>$0.0048</strong>" in page


def test_a_viewer_sees_the_box_and_no_button(client, charlie, paused):
    client.force_login(charlie)
    page = client.get(f"/experiments/{paused.pk}/").content.decode()
    assert 'id="paused-budget"' in page
    assert 'id="raise"' not in page
    assert client.post(f"/experiments/{paused.pk}/budget/", {"usd": "5"}).status_code == 403


def test_raising_on_the_page_goes_on(researcher, paused, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = researcher.post(f"/experiments/{paused.pk}/budget/", {"usd": "5"}, follow=True)
    assert "The budget is saved." in answer.content.decode()
    paused.refresh_from_db()
    assert paused.budget_usd == 5
    assert paused.iterations.get().stages.get(kind="answer").status == StageStatus.RUNNING


def test_both_limits_are_raised_at_once(researcher, paused, alice, django_capture_on_commit_callbacks):
    iteration = paused.iterations.get()
    raise_budget(experiment=paused, actor=alice, usd=0.0049, iteration=iteration, go_on=False)
    with django_capture_on_commit_callbacks(execute=True):
        researcher.post(
            f"/experiments/{paused.pk}/budget/", {"usd": "5", "iteration": "1", "iteration_usd": "2"}, follow=True
        )
    assert iteration.stages.get(kind="answer").status == StageStatus.RUNNING


def test_a_field_that_was_not_sent_changes_nothing(researcher, paused):
    researcher.post(f"/experiments/{paused.pk}/budget/", {"iteration": "1"})
    paused.refresh_from_db()
    assert paused.budget_usd == 0.0048


@pytest.mark.parametrize(("usd", "said"), [("0.001", "is spent already"), ("many", "is no amount"), ("-3", "positive")])
def test_what_does_not_help_is_refused_in_words(researcher, paused, usd, said):
    answer = researcher.post(f"/experiments/{paused.pk}/budget/", {"usd": usd}, follow=True)
    assert said in answer.content.decode()
    paused.refresh_from_db()
    assert paused.budget_usd == 0.0048


def test_resuming_says_to_raise_the_budget(researcher, paused):
    answer = researcher.post(f"/experiments/{paused.pk}/resume/", follow=True)
    assert "Raise the budget of the experiment" in answer.content.decode()


def test_an_iteration_with_an_endless_number_is_not_found(researcher, paused):
    answer = researcher.post(f"/experiments/{paused.pk}/budget/", {"usd": "1", "iteration": "9" * 5000})
    assert answer.status_code == 404
