"""The generator: asks for one new instruction at a time, and reads it out of the reply.

The filters drop what is no instruction at all: nothing, a cut text, a refusal, our own prompt, a loop. They know no
word list and count in tokens of any script, so that what they keep does not depend on the language.
"""

from __future__ import annotations

import json
import re
import unicodedata

from distill import prompt_files
from distill.generation import Slot
from distill.records import Candidate, ChatRequest, Completion, Difficulty, Finish, Instruction, Message, Purpose
from distill.settings import GeneratorSettings
from distill.tokenisation import tokenise

MIN_TOKENS, MAX_CHARACTERS = 2, 8_000
_LOOP_TOKENS, _LOOP_SHARE = 20, 0.4  # so many tokens or more, of whose triples fewer than this share are distinct

_TEMPLATES = {Difficulty.HARD: "generate_hard", Difficulty.EASY: "generate_easy"}
_SHORT_TEMPLATES = {Difficulty.HARD: "generate_short_hard", Difficulty.EASY: "generate_short_easy"}
_MARKER = re.compile(r"\[((?:End of )?Given Instruction)\]", re.I)
_FENCE = re.compile(r"```[\w-]*\n(.*?)\n?```", re.S)
_THOUGHTS = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|$)", re.S | re.I)
_KIND = r"(?:(?:new|created|generated|rewritten|your|the|rarer?)\s+){0,3}(?:instruction|prompt|task)"
_LABEL = re.compile(rf"^[\s#*\[]*{_KIND}\s*(?:\d+\s*)?[\]#*]*\s*[:：][#*]*\s*|^[#*\[]+\s*{_KIND}\s*[\]#*]+\s+", re.I)
_GREETING = r"(?:sure|certainly|of course|okay|absolutely)\b"
_PREAMBLE = re.compile(
    rf"^(?:{_GREETING}[^\n:]{{0,60}}[!,.]\s*)?here(?:['’]s| is| are)\b[^\n:]{{0,60}}"
    rf"(?:\b(?:new|another|rarer?)\b[^\n:]{{0,40}}\b{_KIND}\b[^\n:]{{0,60}}:\s+|\b{_KIND}\b[^\n:]{{0,60}}:\s*\n\s*)"
    rf"|^{_GREETING}[!.,]?\s*\n\s*",
    re.I,
)
_INPUT = re.compile(r"^[ \t#*\[]*input[ \t]*[\]#*]*[ \t]*[:：][#*]*[ \t]*", re.I | re.M)
_NO_INPUT = re.compile(r"\W*(?:none|no ?input|n/?a|empty|nothing)?\W*", re.I)
_QUOTES = {'"': '"', "'": "'", "“": "”", "«": "»", "「": "」", "„": "“", "‘": "’"}
_REFUSAL = re.compile(
    r"(?:(?:i['’]?m|i am|we['’]?re)? ?(?:very |so )?sorry\b[,.]? (?:but )?(?:i|we|as an ai)\b"
    r"|i apologi[sz]e\b|as an ai\b|i(?: am|['’]m) (?:just )?an ai\b"
    r"|(?:unfortunately,? )?i (?:cannot|can['’]?t|can not|am unable to|am not able to|won['’]?t|will not)"
    r" (?:help|assist|comply|fulfil+|(?:generate|create|provide|write|produce) (?:(?:an?y?|another|such|new|the|this|that) ){0,3}"
    r"(?:instruction|prompt|request|task|content))\b"
    r"|(?:对不起|抱歉|很抱歉|非常抱歉)[，,]?(?:但)?我|申し訳(?:ありません|ございません)|죄송합니다|lo siento,|je suis désolée?,|désolée?, (?:mais )?je"
    r"|es tut mir leid,|(?:к сожалению|извините),? (?:но )?я|آسف|عذر(?:ا|اً)،? (?:لا|أنا))",
    re.I,
)


def generate_request(
    key: str, difficulty: Difficulty, parent: Instruction, settings: GeneratorSettings, *, attempt: int
) -> ChatRequest:
    """Ask for one new instruction. Different attempts at one parent are different prompts."""
    asked = _ask(difficulty, _as_written(parent), attempt, short=settings.examples > 0)
    messages = (*_examples(difficulty, settings.examples), asked)
    return ChatRequest(key, messages, settings.sampling, Purpose.GENERATE)


def _ask(difficulty: Difficulty, parent: str, attempt: int, *, short: bool) -> Message:
    template = _SHORT_TEMPLATES[difficulty] if short else _TEMPLATES[difficulty]
    text = prompt_files.fill(template, parent=_MARKER.sub(r"(\1)", parent), variation=str(attempt + 1))
    return {"role": "user", "content": text}


def _examples(difficulty: Difficulty, count: int) -> list[Message]:
    """Turns of a made-up conversation: the same for every parent, so that a server computes them once."""
    shown = prompt_files.data("generator_examples")[difficulty][:count]
    return [
        message
        for given, made in shown
        for message in (_ask(difficulty, given, 0, short=True), {"role": "assistant", "content": made})
    ]


def read_candidate(slot: Slot, parent: Instruction, completion: Completion | None) -> Candidate:
    """What a slot's reply holds. None: the call failed for good."""
    if completion is None:
        return Candidate(slot.key, slot.difficulty, parent, "", None, "call_failed")
    refused = {Finish.LENGTH: "cut", Finish.TRUNCATED: "cut", Finish.FILTERED: "content_filter"}.get(completion.finish)
    instruction, reason = (None, refused) if refused else parse_instruction(completion.text)
    return Candidate(slot.key, slot.difficulty, parent, completion.text, instruction, reason)


def parse_instruction(raw: str) -> tuple[Instruction | None, str]:
    """The instruction and "", or None and the machine name of what is wrong with the reply."""
    text = _THOUGHTS.sub("", raw.replace("\r\n", "\n")).strip()
    if text.count("```") % 2:
        return None, "cut"
    found = _from_json(text) or _split_input(_unwrap(text))
    reason = _fault(found)
    return (None, reason) if reason else (found, "")


def _as_written(instruction: Instruction) -> str:
    return f"{instruction.text}\nInput:\n{instruction.input}" if instruction.input else instruction.text


def _unwrap(text: str) -> str:
    """Without what models put around an instruction: a greeting, a label, a code fence, quotes."""
    while True:
        fence = _FENCE.fullmatch(text)
        inner = fence.group(1) if fence else _unquote(text)
        inner = _LABEL.sub("", _PREAMBLE.sub("", inner.strip(), count=1), count=1).strip()
        inner = _without_emphasis(inner)
        if inner == text:
            return text
        text = inner


def _without_emphasis(text: str) -> str:
    """Without ** around the whole, and without a closing ** whose opening one went with the label."""
    if text.count("**") == 2 and text.startswith("**") and text.endswith("**"):
        return text[2:-2].strip()
    return text.removesuffix("**").strip() if text.count("**") == 1 else text


def _unquote(text: str) -> str:
    closing = _QUOTES.get(text[:1])
    inner = text[1:-1]
    if len(text) > 2 and closing == text[-1] and text[0] not in inner and closing not in inner:
        return inner
    return text


def _split_input(text: str) -> Instruction:
    label = _INPUT.search(text)
    if label is None or not text[: label.start()].strip():
        return Instruction(text)
    value = text[label.end() :].strip()
    fence = _FENCE.fullmatch(value)
    value = _unquote(fence.group(1) if fence else value).strip()
    return Instruction(text[: label.start()].strip(), "" if _NO_INPUT.fullmatch(value) else value)


def _from_json(text: str) -> Instruction | None:
    fence = _FENCE.fullmatch(text)
    try:
        value = json.loads(fence.group(1) if fence else text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not isinstance(value.get("instruction"), str):
        return None
    given = value.get("input")
    given = given.strip() if isinstance(given, str) else ""
    return Instruction(value["instruction"].strip(), "" if _NO_INPUT.fullmatch(given) else given)


def _fault(instruction: Instruction) -> str:
    text, whole = instruction.text, instruction.prompt
    if not text:
        return "empty"
    if len(whole) > MAX_CHARACTERS:
        return "too_long"
    if _is_not_text(whole):
        return "not_text"
    if _REFUSAL.match(text):
        return "refusal"
    if _echoes(whole):
        return "echo_of_prompt"
    if len(tokenise(text)) < MIN_TOKENS:
        return "too_short"
    if text.endswith((",", "(", "[", "，", "、", "（")):
        return "cut"
    return "repetition" if _loops(whole) else ""


def _is_not_text(text: str) -> bool:
    if not any(c.isalnum() for c in text):
        return True
    return any(c == "\ufffd" or (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") for c in text)


def _echoes(text: str) -> bool:
    """It repeats a line of our own prompt."""
    names = (*_TEMPLATES.values(), *_SHORT_TEMPLATES.values())
    lines = "\n".join(prompt_files.text(name) for name in names).splitlines()
    own = {line.strip(" -.;") for line in lines if len(line) > 30 and "$" not in line}
    return any(line in text for line in own) or _MARKER.search(text) is not None


def _loops(text: str) -> bool:
    tokens = tokenise(text)
    triples = list(zip(tokens, tokens[1:], tokens[2:], strict=False))
    return len(tokens) >= _LOOP_TOKENS and len(set(triples)) < _LOOP_SHARE * len(triples)
