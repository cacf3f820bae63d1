"""Rows become tokens in which only the teacher's words carry loss."""

import pytest

from distill.errors import TrainingError
from distill.records import Instruction, TrainingExample
from distill.training_data import (
    Encoded,
    encode,
    epoch_batches,
    micro_batches,
    read_examples,
    shared_prefix,
)
from tests.tiny_models import build_tiny_tokenizer

END = "<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer():
    return build_tiny_tokenizer()


def encoded(tokenizer, *examples, max_length=200, keep_cut=False):
    return encode(examples, tokenizer, template="auto", system_prompt="", max_length=max_length, keep_cut=keep_cut)


def example(response="Three.", text="Count.", input="", complete=True):
    return TrainingExample(Instruction(text, input), response, complete)


def test_only_the_response_and_its_end_token_carry_loss(tokenizer):
    (one,) = encoded(tokenizer, example()).examples

    assert tokenizer.decode(one.ids[one.prompt_length :]) == "Three." + END
    assert tokenizer.decode(one.ids[: one.prompt_length]).endswith("assistant\n")
    assert one.response_tokens == len(one.ids) - one.prompt_length


def test_the_input_of_an_instruction_is_part_of_the_prompt(tokenizer):
    (one,) = encoded(tokenizer, example(text="Add.", input="1 and 2")).examples

    assert "Add.\n\n1 and 2" in tokenizer.decode(one.ids[: one.prompt_length])


def test_a_cut_response_is_left_out_unless_wanted_and_then_has_no_end_token(tokenizer):
    cut = example(complete=False)

    without, wanted = encoded(tokenizer, cut), encoded(tokenizer, cut, keep_cut=True)

    assert (without.examples, dict(without.skipped)) == ([], {"cut_response": 1})
    assert tokenizer.decode(wanted.examples[0].ids).endswith("Three.")


def test_a_response_beyond_max_length_is_cut_there_counted_and_has_no_end_token(tokenizer):
    result = encoded(tokenizer, example("word " * 300), max_length=64)

    assert result.truncated == 1
    assert len(result.examples[0].ids) == 64
    assert result.examples[0].ids[-1] != tokenizer.convert_tokens_to_ids(END)


def test_a_prompt_without_room_for_a_response_is_skipped_with_its_reason(tokenizer):
    result = encoded(tokenizer, example(text="x" * 100_000), example())

    assert dict(result.skipped) == {"prompt_too_long": 1}
    assert len(result.examples) == 1


@pytest.mark.parametrize("response", ["", "  \n"])
def test_an_empty_response_is_skipped_with_its_reason(tokenizer, response):
    assert dict(encoded(tokenizer, example(response)).skipped) == {"empty_response": 1}


def test_a_tokenizer_without_chat_template_gets_the_alpaca_format():
    plain = build_tiny_tokenizer(chat_template=False)

    (one,) = encoded(plain, example(input="1")).examples

    assert plain.decode(one.ids).startswith("### Instruction:\nCount.\n\n### Input:\n1\n\n### Response:\n")


def test_the_shared_prefix_leaves_every_prompt_its_last_token():
    assert shared_prefix([Encoded((1, 2, 3, 9), 3), Encoded((1, 2, 4, 9), 3)]) == 2
    assert shared_prefix([Encoded((1, 2, 3, 9), 3), Encoded((1, 2, 3, 8), 3)]) == 2
    assert shared_prefix([Encoded((1, 2, 3, 9), 3), Encoded((5, 2, 3, 9), 3)]) == 0
    assert shared_prefix([Encoded((1, 9), 1)]) == 0


def test_an_epoch_sees_every_example_once_in_an_order_of_seed_and_epoch_alone():
    first = epoch_batches(10, 4, seed=1, epoch=0)

    assert sorted(sum(first, [])) == list(range(10))
    assert [len(batch) for batch in first] == [4, 4, 2]
    assert first == epoch_batches(10, 4, seed=1, epoch=0)
    assert first != epoch_batches(10, 4, seed=1, epoch=1)
    assert first != epoch_batches(10, 4, seed=2, epoch=0)


def test_micro_batches_keep_to_the_budget_and_lose_nothing():
    examples = [Encoded(tuple(range(n)), 1) for n in (30, 5, 8, 100, 7, 31)]

    groups = micro_batches(examples, 40)

    assert sorted(len(one.ids) for group in groups for one in group) == [5, 7, 8, 30, 31, 100]
    assert all(len(group) == 1 or sum(len(one.ids) for one in group) <= 40 for group in groups)


def test_a_training_file_is_read_with_its_defaults(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "Zähle.", "input": null, "response": "Drei."}\n\n', encoding="utf-8")

    assert read_examples(path) == [TrainingExample(Instruction("Zähle.", ""), "Drei.", True)]


@pytest.mark.parametrize("line", ["{", "[]", '{"text": "a"}', "7"])
def test_a_row_that_is_none_is_named_by_its_line(tmp_path, line):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "a", "response": "b"}\n' + line, encoding="utf-8")

    with pytest.raises(TrainingError, match="Line 2 of train.jsonl"):
        read_examples(path)
