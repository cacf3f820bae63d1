"""kill -9 of every process in the middle of a stage: the iteration finishes by itself, and its tables are the same."""

import time

import psycopg
import pytest

from lionweb.local.home import postgres_url
from tests.chaos.conftest import CONCURRENCY, QUICK, begin, without_names
from worker.pump import STORE_TOGETHER

pytestmark = pytest.mark.chaos

RESPONSES = "SELECT count(*) FROM lionweb_response WHERE author LIKE %s"
STUDENT = (
    "SELECT count(*) FROM lionweb_response r JOIN lionweb_checkpoint c ON c.id = r.checkpoint_id "
    "WHERE c.experiment_id = %s AND c.number = 1"
)
STEPS = (
    "SELECT count(*) FROM lionweb_metricpoint m JOIN lionweb_stage s ON s.id = m.stage_id "
    "JOIN lionweb_iteration i ON i.id = s.iteration_id WHERE i.experiment_id = %s AND m.name = 'loss'"
)
REVIEWS = "SELECT count(*) FROM lionweb_review WHERE referee LIKE %s"
CANDIDATES = (
    "SELECT count(*) FROM lionweb_candidate c JOIN lionweb_iteration i ON i.id = c.iteration_id "
    "WHERE i.experiment_id = %s"
)


class Moment:
    """A point in the middle of a stage, and which process is killed there."""

    def __init__(self, victim, sql, at_least, by="id"):
        self.victim, self.sql, self.at_least, self.by = victim, sql, at_least, by

    def reached(self, stack, experiment, model):
        value = experiment if self.by == "id" else f"%{model}@%"
        return stack.number(self.sql, value) >= self.at_least


ANSWERING = {"sql": RESPONSES, "at_least": 8, "by": "author"}
TRAINING = {"sql": STEPS, "at_least": 12}
COMPARING = {"sql": STUDENT, "at_least": 4}
JUDGING = {"sql": REVIEWS, "at_least": 20, "by": "author"}
GENERATING = {"sql": CANDIDATES, "at_least": 3}

RUNS = {
    "api worker": [
        Moment("worker-api", **ANSWERING),
        Moment("worker-api", **JUDGING),
        Moment("worker-api", **GENERATING),
    ],
    "gpu worker": [Moment("worker-gpu", **TRAINING), Moment("worker-gpu", **COMPARING)],
    "postgres": [
        Moment("postgres", **ANSWERING),
        Moment("postgres", **TRAINING),
        Moment("postgres", **COMPARING),
    ],
    "valkey, beat, web": [
        Moment("valkey", **ANSWERING),
        Moment("beat", **TRAINING),
        Moment("web", **COMPARING),
        Moment("valkey", **JUDGING),
        Moment("beat", **GENERATING),
    ],
}


def test_an_undisturbed_run_makes_everything_once(undisturbed):
    assert len(undisturbed["teacher responses"]) == 30 + 8
    assert len(undisturbed["student responses"]) == 30 + 8 + 8
    assert len(undisturbed["reviews"]) == 2 * (30 + 8 + 8)
    assert len(undisturbed["memberships"]) >= 30 + 30 + 8 + 2
    assert {status for _, _, status in undisturbed["stages"]} == {"succeeded"}


@pytest.mark.parametrize("name", RUNS)
def test_a_killed_process_changes_nothing(stack, settings_file, undisturbed, name):
    model = f"killed-{name.split(',')[0].replace(' ', '-')}"
    experiment = begin(stack, settings_file, model)
    for moment in RUNS[name]:
        stack.wait_for(
            lambda moment=moment: moment.reached(stack, experiment, model), what=f"the moment for {moment.victim}"
        )
        stack.kill(moment.victim)
    stack.wait_until_finished(experiment)

    tables = without_names(stack.inside("tables", experiment))
    for table, rows in undisturbed.items():
        assert tables[table] == rows, f"{table} differs"
    in_flight = CONCURRENCY + 2 * STORE_TOGETHER
    assert stack.mock.stats()["overspend"] <= in_flight * len(RUNS[name])


def test_the_ledger_knows_every_call_that_came_back(stack, undisturbed):
    paid = stack.number(
        "SELECT count(*) FROM lionweb_modelcall c JOIN lionweb_experiment e ON e.id = c.experiment_id "
        "WHERE e.name = 'undisturbed' AND c.paid"
    )
    expected = len(undisturbed["teacher responses"]) + len(undisturbed["reviews"]) + len(undisturbed["candidates"])
    assert paid == expected


def test_pause_and_resume_pay_nothing_twice(stack, settings_file):
    model = "paused"
    experiment = begin(stack, settings_file, model)
    stack.wait_for(lambda: stack.number(RESPONSES, f"%{model}@%") >= 8)
    stack.inside("control", experiment, "pause")
    stack.wait_for(lambda: stack.mock.stats()["inflight_now"] == 0)
    stack.inside("control", experiment, "resume")
    stack.wait_until_finished(experiment)
    assert stack.mock.stats()["overspend"] == 0


IN_EXPERIMENT = (
    "SELECT s.id FROM lionweb_stage s JOIN lionweb_iteration i ON i.id = s.iteration_id WHERE i.experiment_id = %s"
)


@pytest.mark.parametrize(("table", "column"), [("stage", "id"), ("lease", "stage_id")])
def test_rows_that_others_hold_for_longer_than_a_lease_cost_nothing(stack, settings_file, table, column):
    model = f"held-{table}"
    experiment = begin(stack, settings_file, model, concurrency=2)
    stack.wait_for(lambda: stack.number(RESPONSES, f"%{model}@%") >= 4)
    with psycopg.connect(postgres_url(stack.folder)) as connection:
        held = f"SELECT 1 FROM lionweb_{table} WHERE {column} IN ({IN_EXPERIMENT}) FOR UPDATE"
        assert connection.execute(held, [experiment]).fetchone()
        time.sleep(2 * float(QUICK["LEASE_SECONDS"]))
    stack.wait_until_finished(experiment)
    assert stack.mock.stats()["overspend"] == 0
