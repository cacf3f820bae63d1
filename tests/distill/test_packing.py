"""Everything that makes training faster computes what the plain way computes."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from distill.fused_lora import fuse_lora
from distill.lean_norm import lean_norms
from distill.packing import PACKED_ATTENTION
from distill.response_loss import ResponseLoss, chunked_cross_entropy
from distill.training_data import Encoded
from tests.tiny_models import build_tiny_model

SYSTEM = (5, 6, 7, 8)
EXAMPLES = [
    Encoded(SYSTEM + (11, 12, 21, 22, 23), 6),
    Encoded(SYSTEM + (13, 31, 32), 5),
    Encoded(SYSTEM + (14, 15, 16, 41), 7),
]
UNRELATED = [Encoded((40, 41, 42), 1), Encoded((50, 51, 52, 53, 54), 3)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_tiny_model(tmp_path_factory.mktemp("model"))


def lora_model(folder, dropout=0.0):
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, lora_dropout=dropout, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def gradients(loss, examples):
    value = loss(examples)
    value.backward()
    return value.item(), {n: p.grad.clone() for n, p in loss.model.named_parameters() if p.grad is not None}


def assert_same(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    assert one[1].keys() == other[1].keys()
    for name in one[1]:
        torch.testing.assert_close(one[1][name], other[1][name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("examples", [EXAMPLES, UNRELATED, EXAMPLES[:1]], ids=["prefix", "no prefix", "alone"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_packed_loss_and_gradients_are_those_of_padded_rows(folder, method, examples):
    model = lora_model(folder) if method == "lora" else AutoModelForCausalLM.from_pretrained(folder)
    plain, packed = ResponseLoss(copy.deepcopy(model)), ResponseLoss(model)

    assert packed.pack_if_equal(examples, 1e-3)
    fuse_lora(packed.model)
    lean_norms(packed.model)

    assert_same(gradients(packed, examples), gradients(plain, examples))


def test_packed_gradients_survive_gradient_checkpointing(folder):
    model = lora_model(folder)
    plain, packed = ResponseLoss(copy.deepcopy(model)), ResponseLoss(model)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    packed.pack_if_equal(EXAMPLES, 1e-3)
    model.train()

    assert_same(gradients(packed, EXAMPLES), gradients(plain, EXAMPLES))


def test_neighbours_in_a_pack_do_not_see_each_other(folder):
    loss = ResponseLoss(lora_model(folder))
    loss.pack_if_equal(EXAMPLES, 1e-3)

    together = loss(EXAMPLES).item()

    assert together == pytest.approx(sum(loss([one]).item() for one in EXAMPLES), rel=1e-5)


def test_prompt_tokens_do_not_contribute(folder):
    loss = ResponseLoss(lora_model(folder))
    logits = loss.causal(input_ids=torch.tensor([EXAMPLES[0].ids])).logits[0]

    expected = torch.nn.functional.cross_entropy(logits[5:8], torch.tensor(EXAMPLES[0].ids[6:]), reduction="sum")

    assert loss(EXAMPLES[:1]).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_model_whose_packed_loss_differs_stays_plain(folder, monkeypatch):
    loss = ResponseLoss(lora_model(folder))
    before, usual = loss(EXAMPLES).item(), loss.causal.config._attn_implementation
    monkeypatch.setattr("distill.response_loss.chunked_cross_entropy", lambda *_: torch.tensor(1.0))

    assert not loss.pack_if_equal(EXAMPLES, 1e-3)

    assert loss(EXAMPLES).item() == before
    assert loss.causal.config._attn_implementation == usual != PACKED_ATTENTION


def test_only_what_is_frozen_gets_the_lean_norm(folder):
    assert lean_norms(lora_model(folder)) == 5
    assert lean_norms(AutoModelForCausalLM.from_pretrained(folder)) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_lean_norm_is_the_librarys(folder, dtype):
    norm = AutoModelForCausalLM.from_pretrained(folder).model.norm.to(dtype).requires_grad_(False)
    torch.nn.init.normal_(norm.weight)
    x = torch.randn(3, 7, norm.weight.shape[0], dtype=dtype, requires_grad=True)
    slope = torch.randn_like(x)
    expected = norm(x)
    wanted = torch.autograd.grad(expected, x, slope)

    lean_norms(norm)

    torch.testing.assert_close(norm(x), expected)
    torch.testing.assert_close(torch.autograd.grad(norm(x), x, slope), wanted)


def test_lora_with_dropout_keeps_pefts_own_layers(folder):
    assert fuse_lora(lora_model(folder, dropout=0.1)) == 0
    assert fuse_lora(lora_model(folder)) == 14


def test_chunked_cross_entropy_is_cross_entropy(monkeypatch):
    monkeypatch.setattr("distill.response_loss.CHUNK", 3)
    torch.manual_seed(0)
    hidden, weight = torch.randn(8, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    labels = torch.randint(0, 11, (8,))
    expected = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="sum")
    wanted = torch.autograd.grad(expected * 0.5, (hidden, weight))

    value = chunked_cross_entropy(hidden, weight, labels)

    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.autograd.grad(value * 0.5, (hidden, weight)), wanted)
