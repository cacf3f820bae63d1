"""Prompt formats: how an instruction becomes the tokens that a student or a scoring teacher reads."""

from __future__ import annotations

from typing import Any, cast

from jinja2.exceptions import TemplateError

from distill.errors import ModelLoadError
from distill.records import Instruction, Message

_PROBE = "response"


def resolve_template(tokenizer: Any, template: str) -> str:
    """The format in use, "chat" or "alpaca". ModelLoadError: "chat" is asked of a tokenizer that has no chat template."""
    if template == "auto":
        return "chat" if tokenizer.chat_template else "alpaca"
    if template == "chat" and not tokenizer.chat_template:
        raise ModelLoadError(
            f"The tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template.",
            "Set the student's template to auto or alpaca, or choose an instruction-tuned base model.",
        )
    return template


def render_prompt(tokenizer: Any, instruction: Instruction, template: str, system_prompt: str = "") -> list[int]:
    """Token ids up to where the response starts."""
    if resolve_template(tokenizer, template) == "chat":
        return _chat_ids(tokenizer, instruction.prompt, system_prompt)
    return _without_end(tokenizer, tokenizer(alpaca_text(instruction, system_prompt))["input_ids"])


def alpaca_text(instruction: Instruction, system_prompt: str = "") -> str:
    parts = [
        system_prompt.strip(),
        f"### Instruction:\n{instruction.text}",
        f"### Input:\n{instruction.input}" if instruction.input else "",
        "### Response:\n",
    ]
    return "\n\n".join(part for part in parts if part)


def end_token_ids(tokenizer: Any, template: str) -> list[int]:
    """Tokens that end a response; the first one is what training appends.

    In a chat template that is the special token written after an assistant's message, which in some models is not
    the tokenizer's EOS; EOS ends a response too.
    """
    ends = [_turn_end(tokenizer)] if resolve_template(tokenizer, template) == "chat" else []
    ends.append(tokenizer.eos_token_id)
    known = list(dict.fromkeys(token for token in ends if token is not None))
    if not known:
        raise ModelLoadError(
            f"The tokenizer of {tokenizer.name_or_path or 'this model'} has no end-of-text token.",
            "Set eos_token in its tokenizer_config.json, or choose another base model.",
        )
    return known


def _chat_ids(tokenizer: Any, prompt: str, system_prompt: str) -> list[int]:
    user: Message = {"role": "user", "content": prompt}
    if not system_prompt:
        return _apply(tokenizer, [user])
    try:
        return _apply(tokenizer, [{"role": "system", "content": system_prompt}, user])
    except TemplateError:  # some templates know no system role
        return _apply(tokenizer, [{"role": "user", "content": f"{system_prompt}\n\n{prompt}"}])


def _apply(tokenizer: Any, messages: list[Message]) -> list[int]:
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=False)
    return cast("list[int]", ids)


def _turn_end(tokenizer: Any) -> int | None:
    """The first special token after an assistant's message, if the template writes one."""
    messages = [{"role": "user", "content": "instruction"}, {"role": "assistant", "content": _PROBE}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    tail = tokenizer(text.rpartition(_PROBE)[2], add_special_tokens=False)["input_ids"]
    special = set(tokenizer.all_special_ids) | {i for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    return next((token for token in tail if token in special), None)


def _without_end(tokenizer: Any, ids: list[int]) -> list[int]:
    """Some tokenizers append EOS to every text; a prompt must stay open."""
    return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids
