import random

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from distill import decoding
from distill.decoding import BatchDecoder, Row
from distill.errors import ModelLoadError

VOCABULARY, END = 96, 7


def build(kind, **changes):
    """A tiny random model of one architecture, its weights drawn wide, so that no two logits tie."""
    torch.manual_seed(3)
    sizes = {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    more = {"max_position_embeddings": 256, "initializer_range": 0.3, "eos_token_id": END, "pad_token_id": 0}
    config = AutoConfig.for_model(kind, **{**sizes, **more, **changes})
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Tiny models gain nothing from threads, and lose much to threads that wait for a busy core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama():
    return build("llama", intermediate_size=64, num_key_value_heads=2)


def prompts(count=20, longest=40, head=()):
    rng = random.Random(5)
    return [[*head, *(rng.randrange(8, VOCABULARY) for _ in range(rng.randint(1, longest)))] for _ in range(count)]


def one_by_one(model, prompt, budget, ends=(END,)):
    ids = torch.tensor([prompt])
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=budget,
        do_sample=False,
        eos_token_id=list(ends),
        pad_token_id=0,
    )
    return out[0, len(prompt) :].tolist()


def decode(model, asked, budget=24, ends=(END,), batch_size=8, cache_bytes=10**9, prefix=()):
    decoder = BatchDecoder(model, ends, batch_size=batch_size, cache_bytes=cache_bytes, prefix=prefix)
    rows = [Row(str(i), prompt, budget) for i, prompt in enumerate(asked)]
    done = decoder.run(rows, lambda logits, _: logits.argmax(-1).tolist())
    return {int(row.key): row.generated for row in done}


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64])
def test_tokens_equal_those_of_generating_one_by_one(llama, batch_size):
    asked = prompts()

    got = decode(llama, asked, batch_size=batch_size)

    assert got == {i: one_by_one(llama, prompt, 24) for i, prompt in enumerate(asked)}


def test_rows_that_end_early_are_replaced_and_the_rest_is_undisturbed(llama):
    asked = prompts(30)
    free = [one_by_one(llama, prompt, 24) for prompt in asked]
    ends = {END, *(tokens[2 + i % 9] for i, tokens in enumerate(free[:6]))}

    got = decode(llama, asked, ends=ends, batch_size=4)

    assert got == {i: one_by_one(llama, prompt, 24, ends) for i, prompt in enumerate(asked)}
    assert {len(tokens) for tokens in got.values()} > {24}  # some ended by themselves, some by their budget


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("qwen2", {"intermediate_size": 64, "num_key_value_heads": 2}),
        ("mistral", {"intermediate_size": 64, "num_key_value_heads": 2, "sliding_window": 6}),
        ("gpt2", {"n_positions": 256}),
        ("gpt_neox", {"intermediate_size": 64}),
        ("gemma2", {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 5}),
    ],
)
def test_other_architectures_decode_the_same_as_one_by_one(kind, sizes):
    model = build(kind, **sizes)
    asked = prompts(8, longest=16)

    got = decode(model, asked, budget=12, batch_size=3)

    assert got == {i: one_by_one(model, prompt, 12) for i, prompt in enumerate(asked)}


def test_a_shared_head_changes_nothing(llama):
    head = prompts(1, longest=12)[0] * 3
    asked = [*prompts(9, head=head), *prompts(3, longest=5), head]

    assert decode(llama, asked, prefix=head, batch_size=4) == decode(llama, asked, batch_size=4)


def test_little_memory_means_fewer_rows_at_once_and_the_same_tokens(llama):
    asked = prompts(10)
    decoder = BatchDecoder(llama, [END], batch_size=8, cache_bytes=0)
    widths = []

    def pick(logits, rows):
        widths.append(len(rows))
        return logits.argmax(-1).tolist()

    got = {int(row.key): row.generated for row in decoder.run([Row(str(i), p, 9) for i, p in enumerate(asked)], pick)}

    assert set(widths) == {1}
    assert got == decode(llama, asked, budget=9)


def test_long_prompts_are_prefilled_in_groups(llama, monkeypatch):
    asked = prompts(12)
    expected = decode(llama, asked)
    monkeypatch.setattr(decoding, "_PREFILL_TOKENS", 50)

    assert decode(llama, asked) == expected


def test_rows_are_given_out_as_soon_as_they_end_and_asked_for_only_when_there_is_room(llama):
    read = []

    def source():
        for i, prompt in enumerate(prompts(200)):
            read.append(i)
            yield Row(str(i), prompt, 1 if i == 3 else 30)

    decoder = BatchDecoder(llama, [END], batch_size=2, cache_bytes=10**9)
    next(decoder.run(source(), lambda logits, _: logits.argmax(-1).tolist()))

    assert len(read) < 40


def test_nothing_asked_is_nothing_answered(llama):
    assert decode(llama, []) == {}


def test_a_recurrent_model_is_refused_in_plain_words():
    model = build("mamba", intermediate_size=64, state_size=4, time_step_rank=2)

    with pytest.raises(ModelLoadError, match="recurrent"):
        BatchDecoder(model, [END], batch_size=2, cache_bytes=10**9)
