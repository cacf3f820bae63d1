"""All three stages on 999 real instructions, with a teacher's server that fails in every way: nothing lost or paid twice."""

import json
import subprocess
import sys

import pytest

from distill.settings import ExperimentSettings, GeneratorSettings, PoolSettings, StudentSettings, TrainingSettings
from lionweb.local.home import REPOSITORY
from tests.mock_server import mock_openai

pytestmark = pytest.mark.chaos

ALPACA = REPOSITORY.parent / "shared" / "data" / "pools" / "alpaca_en_demo.json"
FAULTS = "--latency-ms 60 --max-concurrent 24 --retry-after 0.2 --p-500 0.02 --p-hang 0.003 --p-truncate 0.01 --p-empty 0.01 --p-length 0.02"
HELDOUT = 50


@pytest.fixture(scope="module")
def finished(stack, tiny_model, tmp_path_factory):
    """The stack, the mock's figures and the experiment's number after one iteration with faults."""
    if not ALPACA.exists():
        pytest.skip(f"{ALPACA} is not there")
    settings = ExperimentSettings(
        student=StudentSettings(base=str(tiny_model), temperature=0.0, max_new_tokens=8, batch_size=64),
        training=TrainingSettings(epochs=1, batch_size=16, max_length=256, precision="fp32"),
        generator=GeneratorSettings(hard=20, easy=20),
        pools=PoolSettings(heldout=HELDOUT),
        iterations=1,
    )
    path = tmp_path_factory.mktemp("alpaca") / "settings.json"
    path.write_text(json.dumps(settings.to_json()))
    imported = subprocess.run(
        [sys.executable, "manage.py", "import", str(ALPACA), "--name", "Alpaca", "--keep-good"],
        cwd=REPOSITORY,
        env=stack.environment,
        capture_output=True,
        text=True,
    )
    assert imported.returncode == 0, imported.stderr
    with mock_openai(*FAULTS.split()) as mock:
        experiment = stack.inside("begin", "alpaca", mock.base_url, path, 64, "Alpaca")
        stack.wait_until_finished(experiment, seconds=400)
        return stack, mock.stats(), experiment


def count(stack, table, where, *values):
    return stack.number(f"SELECT count(*) FROM lionweb_{table} WHERE {where}", *values)


def test_every_instruction_has_exactly_one_answer_of_the_teacher(finished):
    stack, _, experiment = finished
    rows = stack.number("SELECT rows FROM lionweb_pool WHERE name = 'Alpaca'")
    assert rows > 980
    result = stack.inside("outcome", experiment)
    assert result["accepted"] == 40, result
    assert count(stack, "response", "author LIKE 'alpaca@%%'") == rows


def test_no_prompt_was_paid_for_twice(finished):
    _, stats, _ = finished
    assert stats["e500"] > 0
    assert stats["truncated"] > 0
    assert stats["empty"] > 0
    assert stats["overspend"] == 0


def test_the_ledger_and_the_server_count_the_same(finished):
    stack, stats, experiment = finished
    assert count(stack, "modelcall", "experiment_id = %s AND paid", experiment) == stats["paid"]


def test_every_pair_is_judged_in_both_orders_or_says_that_it_is_not(finished):
    stack, _, experiment = finished
    result = stack.inside("outcome", experiment)
    rows = stack.number("SELECT rows FROM lionweb_pool WHERE name = 'Alpaca'")
    assert result["hard"] + result["easy"] + result["unscored"] == rows - HELDOUT
    assert result["unscored"] <= 0.03 * rows


def test_broken_answers_are_marked_and_not_trained_on(finished):
    stack, _, experiment = finished
    marked = count(stack, "response", "author LIKE 'alpaca@%%' AND finish <> 'stop'")
    assert marked > 0
    folder = stack.folder / "artifacts" / "experiments" / str(experiment) / "iteration-1"
    examples = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    assert all(example["complete"] and example["response"] for example in examples)
