"""A replay on the running stack: the teacher's server counts no call for it, until a person lets the branch go on."""

import time

import pytest

pytestmark = pytest.mark.chaos
SOURCE = "SELECT min(id) FROM lionweb_experiment WHERE name = 'undisturbed'"
GATE = (
    "SELECT s.status FROM lionweb_stage s JOIN lionweb_iteration i ON i.id = s.iteration_id "
    "WHERE i.experiment_id = %s AND s.kind = 'review'"
)
SWEEPS_SECONDS = 4
"""The stack sweeps every second."""
TAU = 2.0


def test_a_replay_and_its_verdicts_make_no_call_until_it_is_resumed(stack, undisturbed):
    source = stack.number(SOURCE)
    before = stack.mock.stats()

    made = stack.inside("replay", source, TAU)
    branch = made["branch"]
    time.sleep(SWEEPS_SECONDS)

    assert stack.mock.stats() == before
    assert stack.query(GATE, branch) == ("paused",)
    assert len(made["verdicts"]) == len(undisturbed["classifications"])
    for gap, verdict in made["verdicts"]:
        assert verdict == ("unscored" if gap == "None" else "hard" if float(gap) >= TAU else "easy")
    tables = stack.inside("tables", branch)
    for same in ("teacher responses", "student responses", "reviews", "checkpoints"):
        assert tables[same] == undisturbed[same], f"{same} differ"

    stack.inside("control", branch, "resume")
    stack.wait_until_finished(branch)
    after = stack.inside("tables", branch)
    calls = "SELECT count(*) FROM lionweb_modelcall WHERE experiment_id = %s AND purpose <> 'generate'"
    assert stack.number(calls, branch) == 0
    assert len([row for row in after["candidates"] if row[5] == ""]) > 0
    assert {status for _, _, status in after["stages"]} == {"succeeded"}
