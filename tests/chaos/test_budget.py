"""The bill on a running stack: a plan that holds, and a budget that pauses in the middle of each paying stage."""

import json
import time
import urllib.request

import pytest

from tests.chaos.conftest import CONCURRENCY

pytestmark = pytest.mark.chaos

TENTH = 0.1
SHORT = {
    "teacher": {"max_tokens": 110},
    "referee": {"max_tokens": 256},
    "generator": {"max_tokens": 128},
    "training": {"epochs": 1},
}
"""Replies that the mock never reaches, so that the worst case before the first reply is close to the truth."""
STEP_USD = 0.003


def begin(stack, settings_file, name, budget_usd="", **changes):
    urllib.request.urlopen(urllib.request.Request(f"{stack.mock.base_url[:-3]}/reset", method="POST"), timeout=10)
    changed = json.dumps(SHORT | changes)
    return stack.inside("begin_priced", name, stack.mock.base_url, settings_file, changed, budget_usd)


@pytest.fixture(scope="module")
def measured(stack, settings_file):
    """A first experiment, by which the second one is planned."""
    experiment = begin(stack, settings_file, "first", pools={"train": 20, "cache": 20, "heldout": 4}, seed=7)
    stack.wait_until_finished(experiment)
    return experiment


def test_three_iterations_cost_what_was_planned(stack, settings_file, measured):
    experiment = begin(
        stack, settings_file, "planned", iterations=3, seed=8,
        pools={"train": 16, "cache": 16, "heldout": 6}, generator={"hard": 6, "easy": 6, "max_tokens": 128},
    )  # fmt: skip
    stack.wait_until_finished(experiment)
    found = stack.inside("plan", experiment)
    served = stack.mock.stats()
    assert found["counted"][0] == served["paid"]
    assert served["overspend"] == 0
    assert found["planned"] == pytest.approx(found["counted"], rel=TENTH), found


PAUSED = (
    "SELECT count(*) FROM lionweb_stage s JOIN lionweb_iteration i ON i.id = s.iteration_id "
    "WHERE i.experiment_id = %s AND s.status = 'paused'"
)
DONE = "SELECT count(*) FROM lionweb_iteration WHERE experiment_id = %s AND finished_at IS NOT NULL"


def test_a_budget_pauses_each_paying_stage_and_nothing_is_paid_twice(stack, settings_file, measured):
    experiment = begin(
        stack, settings_file, "limited", budget_usd=0.002, seed=9, teacher={**SHORT["teacher"], "top_p": 0.9},
        pools={"train": 12, "cache": 12, "heldout": 4}, generator={"hard": 4, "easy": 4, "max_tokens": 128},
    )  # fmt: skip
    met, deadline = [], time.monotonic() + 200
    while not stack.number(DONE, experiment):
        assert time.monotonic() < deadline, stack.inside("stages", experiment)
        if not stack.number(PAUSED, experiment):
            time.sleep(0.05)
            continue
        stack.wait_for(lambda: stack.mock.stats(detail=False)["inflight_now"] == 0)
        money = stack.inside("budget", experiment, STEP_USD)
        assert money["spent"] <= money["limit"] + CONCURRENCY * money["dearest"]
        [[_, kind, reason]] = money["paused_for"]
        assert reason == "budget"
        met.append(kind)
    assert {"answer", "judge", "generate"} <= set(met)
    assert stack.mock.stats()["overspend"] == 0
