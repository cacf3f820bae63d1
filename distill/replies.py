"""Reads a chat completion's body, whole or broken off. What was paid for is kept as far as it arrived."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from distill.records import Finish, Message

FINISHES = {"length": Finish.LENGTH, "max_tokens": Finish.LENGTH, "content_filter": Finish.FILTERED}
CONTENT = re.compile(r'"content"\s*:\s*"')  # cannot match inside a JSON string: there the quotes are escaped
STRING_REST = re.compile(r'(?:[^"\\]|\\.)*', re.S)
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Reply:
    """Text and bill of one reply; tokens are None where the server did not say."""

    text: str
    finish: Finish
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    model: str = ""


def estimated_tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def prompt_tokens(messages: tuple[Message, ...]) -> int:
    """An estimate for a server that sends no usage."""
    return sum(estimated_tokens(one.get("content", "")) + 4 for one in messages)


def storable(text: str) -> str:
    """The text without what no UTF-8 database column takes: lone surrogates become U+FFFD, NUL goes."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def parsed(body: bytes) -> Any | None:
    """The body as JSON; None where it is none."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def read_reply(data: Any) -> Reply | None:
    """A parsed completion; None if it is not shaped like one."""
    try:
        choice = data["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    text = storable(_flat(content) or _flat(refusal))
    finish = FINISHES.get(str(choice.get("finish_reason")), Finish.STOP)
    if refusal and not content:
        finish = Finish.FILTERED
    elif not text and finish is not Finish.FILTERED:
        finish = Finish.EMPTY
    usage = data.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    model = data.get("model")
    counts = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    return Reply(text, finish, *counts, model if isinstance(model, str) else "")


def salvage(body: bytes) -> Reply | None:
    """The text in a body that broke off; None if not a character of it arrived.

    Always Finish.TRUNCATED, even if the text's closing quote arrived: without the finish_reason after it nobody
    knows whether the text had come to its end.
    """
    raw = body.decode("utf-8", "ignore")
    start = CONTENT.search(raw, max(0, raw.find('"choices"')))
    if start is None:
        return None
    rest = STRING_REST.match(raw, start.end())
    text = storable(_unescaped(rest.group() if rest else ""))
    return Reply(text, Finish.TRUNCATED) if text else None


def _unescaped(inside: str) -> str:
    """Decode the inside of a JSON string whose last escape may be cut (\\u12)."""
    inside = re.sub(r"(?<!\\)((?:\\\\)*)\\u[0-9a-fA-F]{0,3}$", r"\1", inside)
    try:
        text = json.loads(f'"{inside}"', strict=False)
    except ValueError:
        return ""
    return text[:-1] if text and "\ud800" <= text[-1] <= "\udbff" else text  # half of an emoji


def _flat(content: Any) -> str:
    if isinstance(content, list):  # some servers send parts
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def _count(usage: dict[str, Any], name: str) -> int | None:
    value = usage.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
