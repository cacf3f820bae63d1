"""The held-out loss is a mean over response tokens, however they are batched."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from distill.heldout import heldout_loss
from distill.response_loss import ResponseLoss
from distill.training_data import Encoded
from tests.tiny_models import build_tiny_model

EXAMPLES = [Encoded(tuple(range(5, 5 + n)), 3) for n in (4, 9, 6, 12)]


@pytest.fixture(scope="module")
def loss(tmp_path_factory):
    return ResponseLoss(AutoModelForCausalLM.from_pretrained(build_tiny_model(tmp_path_factory.mktemp("model"))))


def test_it_is_the_mean_over_all_response_tokens(loss):
    total = 0.0
    for one in EXAMPLES:
        logits = loss.model(input_ids=torch.tensor([one.ids])).logits[0, 2:-1]
        total += torch.nn.functional.cross_entropy(logits, torch.tensor(one.ids[3:]), reduction="sum").item()

    value, tokens = heldout_loss(loss, EXAMPLES, budget=1000)

    assert tokens == 1 + 6 + 3 + 9
    assert value == pytest.approx(total / tokens, rel=1e-5)


@pytest.mark.parametrize("budget", [1, 10, 1000])
def test_the_batching_does_not_change_it(loss, budget):
    assert heldout_loss(loss, EXAMPLES, budget=budget)[0] == pytest.approx(
        heldout_loss(loss, EXAMPLES, budget=20)[0], rel=1e-5
    )


def test_it_leaves_the_model_in_the_mode_it_was_in(loss):
    loss.model.train()

    heldout_loss(loss, EXAMPLES, budget=1000)

    assert loss.model.training
