import pytest

from distill.errors import ModelLoadError
from distill.records import Instruction
from distill.templates import end_token_ids, render_prompt, resolve_template
from tests.tiny_models import build_tiny_tokenizer

ASK = Instruction("Name a river.", "In Europe")


@pytest.fixture(scope="module")
def chat():
    return build_tiny_tokenizer()


@pytest.fixture(scope="module")
def plain():
    return build_tiny_tokenizer(chat_template=False)


def test_a_chat_prompt_ends_where_the_response_starts(chat):
    text = chat.decode(render_prompt(chat, ASK, "auto"))

    assert text == "<|im_start|>user\nName a river.\n\nIn Europe<|im_end|>\n<|im_start|>assistant\n"


def test_the_system_prompt_is_a_message_of_its_own(chat):
    text = chat.decode(render_prompt(chat, ASK, "chat", "Be brief."))

    assert text.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")


def test_a_template_without_a_system_role_gets_the_system_prompt_with_the_instruction(chat):
    strict = build_tiny_tokenizer()
    strict.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
        + strict.chat_template
    )

    text = strict.decode(render_prompt(strict, ASK, "chat", "Be brief."))

    assert text.startswith("<|im_start|>user\nBe brief.\n\nName a river.")


def test_alpaca_shows_the_input_only_where_there_is_one(plain):
    with_input = plain.decode(render_prompt(plain, ASK, "auto"))
    without = plain.decode(render_prompt(plain, Instruction("Name a river."), "alpaca", "Be brief."))

    assert with_input == "### Instruction:\nName a river.\n\n### Input:\nIn Europe\n\n### Response:\n"
    assert without == "Be brief.\n\n### Instruction:\nName a river.\n\n### Response:\n"


def test_auto_takes_chat_where_there_is_a_template(chat, plain):
    assert resolve_template(chat, "auto") == "chat"
    assert resolve_template(chat, "alpaca") == "alpaca"
    assert resolve_template(plain, "auto") == "alpaca"


def test_chat_without_a_chat_template_says_what_to_change(plain):
    with pytest.raises(ModelLoadError) as caught:
        render_prompt(plain, ASK, "chat")

    assert "no chat template" in caught.value.cause
    assert "alpaca" in caught.value.advice


def test_a_response_ends_with_the_token_that_the_template_writes_after_it():
    tokenizer = build_tiny_tokenizer()
    tokenizer.eos_token = "<|endoftext|>"

    ends = end_token_ids(tokenizer, "chat")

    assert tokenizer.convert_ids_to_tokens(ends) == ["<|im_end|>", "<|endoftext|>"]


def test_alpaca_responses_end_with_eos(plain):
    assert end_token_ids(plain, "auto") == [plain.eos_token_id]


def test_a_tokenizer_without_any_end_is_refused():
    tokenizer = build_tiny_tokenizer(chat_template=False, pad_token=False)
    tokenizer.eos_token = None

    with pytest.raises(ModelLoadError, match="no end-of-text token"):
        end_token_ids(tokenizer, "alpaca")


@pytest.mark.parametrize("text", ["", "Ünïcode 漢字 🙂", "a" * 5000, "line\nbreaks\n\n", "{{ messages }}"])
def test_any_text_is_rendered_as_it_is(chat, plain, text):
    assert text.strip() in chat.decode(render_prompt(chat, Instruction(text), "chat"))
    assert text.strip() in plain.decode(render_prompt(plain, Instruction(text), "alpaca"))


def test_a_tokenizer_that_appends_eos_still_leaves_the_prompt_open(plain):
    class Closing:
        chat_template, eos_token_id = None, plain.eos_token_id

        def __call__(self, text):
            return {"input_ids": [*plain(text)["input_ids"], plain.eos_token_id]}

    assert render_prompt(Closing(), ASK, "alpaca") == render_prompt(plain, ASK, "alpaca")
