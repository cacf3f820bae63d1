"""The fused step must compute what the library computes."""

import copy

import pytest
import torch
from transformers.cache_utils import DynamicCache

from distill.fused_llama import FusedLlama, can_fuse
from distill.slot_cache import SlotCache
from tests.distill.test_decoding import VOCABULARY, build

ROWS, BEFORE = 5, 11


def after_a_prompt(model, ids):
    """A slot cache that holds the keys and values of ids [rows, tokens]."""
    cache = DynamicCache()
    model.base_model(ids, past_key_values=cache, use_cache=True)
    return slots_of(cache, ids.shape[1])


def slots_of(cache, columns):
    slots = SlotCache(ROWS)
    slots.make_room(columns)
    slots.append_rows(cache, [columns] * ROWS)
    slots.span.begin = slots.span.end - columns
    return slots


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("tied", [True, False])
@torch.inference_mode()
def test_logits_are_those_of_the_library(key_heads, tied):
    model = build("llama", intermediate_size=64, num_key_value_heads=key_heads, tie_word_embeddings=tied)
    ids = torch.randint(8, VOCABULARY, (ROWS, BEFORE + 1), generator=torch.Generator().manual_seed(1))
    expected = model(ids).logits[:, -1]

    cache = after_a_prompt(model, ids[:, :-1])
    visible = torch.ones(ROWS, BEFORE + 1, dtype=torch.bool)
    logits = FusedLlama(model).step(ids[:, -1:], torch.full((ROWS, 1), BEFORE), visible, cache)

    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=2e-5)


@torch.inference_mode()
def test_columns_out_of_sight_change_nothing():
    model = build("llama", intermediate_size=64, num_key_value_heads=2)
    ids = torch.randint(8, VOCABULARY, (ROWS, BEFORE + 1), generator=torch.Generator().manual_seed(2))
    hidden = 4
    expected = model(ids[:, hidden:]).logits[:, -1]

    tail = after_a_prompt(model, ids[:, hidden:-1])
    rows = DynamicCache()
    for index, layer in enumerate(tail.layers):
        columns = slice(tail.span.begin, tail.span.end)
        noise = torch.full((ROWS, 2, hidden, layer.keys.shape[-1]), 3.0)
        keys, values = (torch.cat((noise, one[:, :, columns]), 2) for one in (layer.keys, layer.values))
        rows.update(keys, values, index)
    wide = slots_of(rows, BEFORE)
    visible = (torch.arange(BEFORE + 1) >= hidden)[None].expand(ROWS, -1)
    positions = torch.full((ROWS, 1), BEFORE - hidden)
    logits = FusedLlama(model).step(ids[:, -1:], positions, visible, wide)

    torch.testing.assert_close(logits, expected, atol=2e-5, rtol=2e-5)


@torch.inference_mode()
def test_the_model_itself_computes_as_before():
    model = build("llama", intermediate_size=64, num_key_value_heads=2)
    ids = torch.randint(8, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(3))
    before = copy.deepcopy(model)(ids).logits
    FusedLlama(model)
    torch.testing.assert_close(model(ids).logits, before, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize(
    "kind, changes",
    [
        ("llama", {"attention_bias": True}),
        ("llama", {"mlp_bias": True}),
        ("llama", {"hidden_act": "gelu"}),
        ("qwen2", {}),
        ("gpt_neox", {}),
    ],
)
def test_other_models_are_left_to_the_library(kind, changes):
    assert not can_fuse(build(kind, intermediate_size=64, **changes))


def test_lower_precision_is_left_to_the_library():
    assert not can_fuse(build("llama", intermediate_size=64).to(torch.bfloat16))
