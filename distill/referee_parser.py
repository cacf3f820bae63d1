"""Reads two scores out of what a referee model wrote. Tolerant of layout, strict about values.

Tried in this order: a first line of two numbers; JSON; numbers labelled with assistant 1 and assistant 2; any other
single line of two numbers; two lines of one number each. The first way that finds a pair decides: if its numbers are
no scores from 1 to 10, the reply is unreadable and no other way is tried. What is ambiguous ("9/8", "7-8") is unreadable.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

Scores = tuple[float, float]

NUMBER = r"[-+−]?\d+(?:[.,]\d+)?"
OF_TEN = r"(?:\s*(?:/|out of|von|sur|de|из|/\s*满分)\s*10(?![.,]?\d))?"
END = r"(?=\s*(?:$|[\n,;|)\]}<>(、。，；و]|\.(?!\d)|and\b|und\b|et\b|y\b|e\b|и\b|和|while\b|but\b|points?\b|分|点|점|балл\w*|Punkte\b|puntos\b))"
UNIT = r"(?:\s*(?:points?\b|分|点|점|балл\w*|Punkte\b|puntos\b))?"
_WHO = (
    r"assist\w*|asist\w*|助手|助理|アシスタント|어시스턴트|помощник\w*|ассистент\w*|المساعد|مساعد|सहायक|trợ lý|"
    r"model\w*|model[lo]\w*|模型|モデル|answers?|responses?|repl(?:y|ies)|回答|respuesta|réponse|antwort|ответ\w*|AI|bot"
)
_AND_THE_OTHER = rf"(?:{END}|(?=\s*/\s*(?:{_WHO})))"
_INDEX = r"(?:[12](?!\d|[.,]\d)|[AB]\b|one\b|two\b|[一二])"
BIND = r"(?:is|gets?|got|receives?|received|scores?|scored|earns?|deserves?|rated|at|of|得|为|は|:|=|\||>|\(|[-–—→]+)"
_LABELLED = re.compile(
    rf"(?:{_WHO})[\s_#'\"(№-]{{0,4}}(?P<index>{_INDEX})[^\d\n]{{0,40}}?{BIND}\s*[\"'(<]?\s*(?P<number>{NUMBER}){OF_TEN}{_AND_THE_OTHER}",
    re.I,
)
_ORDINAL = re.compile(
    rf"\b(?P<index>first|second)\s+(?:{_WHO})[^\d\n]{{0,40}}?{BIND}\s*(?P<number>{NUMBER}){OF_TEN}{END}", re.I
)
_NUMBER_FIRST = re.compile(
    rf"(?<![\d.,/])(?P<number>{NUMBER}){OF_TEN}\s*(?:points?\s*)?(?:\(|for|to)\s*(?:the\s+)?(?:{_WHO})\s*#?(?P<index>{_INDEX})",
    re.I,
)
_BARE_LABEL = re.compile(
    rf"^\s*\(?(?P<index>[12AB])\s*[.):=\-]+\s*(?P<number>{NUMBER}){OF_TEN}\s*[.;,]?\s*$", re.M | re.I
)
_NOT_AN_ASSISTANT = re.compile(r"(?:criteri|step|question|point|example|section|aspect)\w*\W*$", re.I)
SCORE_WORD = re.compile(
    r"scor|rating|grade|wertung|评分|得分|分数|スコア|評価|점수|평가|оцен|балл|puntu|punt|note|bewert|voto|nota|calific|تقييم|درجة|अंक|điểm|tuple|result",
    re.I,
)
_ENDS_IN_LABEL = re.compile(rf"(?:{_WHO})[\s_#'\"(№-]{{0,4}}$", re.I)
_BOTH = re.compile(rf"(?:{_WHO})\s*1\s*(?:and|&|,|/|和|und|y|et|и)\s*(?:(?:{_WHO})\s*)?2", re.I)
_DECIMAL_COMMA, _LIST_COMMA = r"\d+(?:[.,]\d+)?", r"\d+(?:\.\d+)?"
_BETWEEN = r"(\s*[,;|&、，；]\s*|\s+(?:and|vs\.?|und|y|et|и|和|و)\s+|\s*和\s*|\s+)"
_SECOND = {"2", "b", "two", "二", "second"}


def parse_scores(raw: str, *, cut: bool = False) -> Scores | None:
    """Scores of (assistant 1, assistant 2), or None if the reply does not hold exactly one clear score for each.

    cut: the reply ended at the token limit; a number at its very end may lack digits and is not read.
    """
    text = plain(raw)
    if cut:
        text = re.sub(r"[\d.,]+$", "", text.rstrip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    ways: tuple[Callable[[], tuple[str, str] | None], ...] = (
        lambda: _pair(lines[0], prose_may_follow=True),
        lambda: _from_json(text),
        lambda: _labelled(text),
        lambda: _lone_pair(lines[1:]),
        lambda: _two_lines(lines),
    )
    found = next((pair for way in ways if (pair := way()) is not None), None)
    if found is None:
        return None
    first, second = score(found[0]), score(found[1])
    return None if first is None or second is None else (first, second)


def parse_explanation(raw: str) -> str:
    """The reply without its score lines, or the explanation field of a JSON reply."""
    for value in json_values(_without_thoughts(raw)):
        if isinstance(value, dict):
            texts = [v for k, v in value.items() if isinstance(v, str) and re.search(r"expl|reason|eviden|comment", k)]
            if texts:
                return texts[0].strip()
    kept = [line for line in _without_thoughts(raw).splitlines() if not _is_score_line(line)]
    return re.sub(r"^\W*evaluation evidence\W*", "", "\n".join(kept).strip(), flags=re.I).strip()


def plain(raw: str) -> str:
    """Without hidden thoughts, emphasis and non-ASCII digits."""
    text = unicodedata.normalize("NFKC", _without_thoughts(raw))
    text = "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text)
    text = re.sub(r"[*`#\u200b-\u200f\u2060\ufeff]|__+|\\(?:text(?:bf)?|boxed)\b", "", text).replace("٫", ".")
    return re.sub(r"\[\[\s*([^\[\]\n]{1,20})\]\]|</?scores?>", r" \1 ", text, flags=re.I)


def _without_thoughts(raw: str) -> str:
    text = re.sub(r"<think(?:ing)?>.*?</think(?:ing)?>", "", raw, flags=re.S | re.I)
    return re.sub(r"<think(?:ing)?>.*", "", text, flags=re.S | re.I)


def score(number: str) -> float | None:
    value = float(number.replace(",", ".").replace("−", "-"))
    return value if 1 <= value <= 10 else None


def _pair(line: str, *, prose_may_follow: bool = False) -> tuple[str, str] | None:
    """The two numbers of a line that holds two numbers and, before them, nothing or words about scores."""
    line = _BOTH.sub("both", line)
    head = re.match(r"\D*", line)
    words = head.group() if head else ""
    if words.rstrip().endswith(("-", "−", "+")) or _ENDS_IN_LABEL.search(words):
        return None
    if re.search(r"\w", words) and not SCORE_WORD.search(words):
        return None
    rest = line[len(words) :]
    tail = r"(?=\W*$" + (
        r"|\s*[.:;(–—-]\s*[^\W\d]|(?-i:\s+[^\W\da-z]))" if prose_may_follow and not words.strip() else ")"
    )
    for number in (_DECIMAL_COMMA, _LIST_COMMA):
        found = re.match(rf"({number}){OF_TEN}{UNIT}{_BETWEEN}({number}){OF_TEN}{UNIT}{tail}", rest, re.I)
        if found and not ("," in found.group(1) and found.group(2) == ","):
            return found.group(1), found.group(3)
    return None


def _from_json(text: str) -> tuple[str, str] | None:
    for value in json_values(text):
        found = _pair_in(value)
        if found:
            return found
    return None


def json_values(text: str) -> list[Any]:
    """Every JSON object or array that stands in the text, outermost ones only."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while (start := re.compile(r"[{\[]").search(text, at)) is not None:
        try:
            value, at = decoder.raw_decode(text, start.start())
            found.append(value)
        except (ValueError, RecursionError):
            at = start.end()
    return found


def _pair_in(value: Any) -> tuple[str, str] | None:
    if isinstance(value, list):
        numbers = [as_number(item) for item in value]
        return (numbers[0], numbers[1]) if len(numbers) == 2 and numbers[0] and numbers[1] else None
    if not isinstance(value, dict):
        return None
    by_index: dict[str, str] = {}
    for key, item in value.items():
        index = re.search(r"((?<!\d)[12](?!\d)|(?<![a-z])[ab](?![a-z]))", key.lower())
        number = as_number(item)
        if index and number:
            by_index["2" if index.group(1) in _SECOND else "1"] = number
    if len(by_index) == 2:
        return by_index["1"], by_index["2"]
    return next((found for item in value.values() if (found := _pair_in(item))), None)


def as_number(item: Any) -> str | None:
    if isinstance(item, dict):
        item = next((v for k, v in item.items() if SCORE_WORD.search(k)), None)
    if isinstance(item, bool) or not isinstance(item, (int, float, str)):
        return None
    found = re.fullmatch(rf"({NUMBER}){OF_TEN}", str(item).strip())
    return found.group(1) if found else None


def _labelled(text: str) -> tuple[str, str] | None:
    """The last number labelled with each assistant."""
    for pattern in (_LABELLED, _ORDINAL, _NUMBER_FIRST, _BARE_LABEL):
        numbers: dict[str, str] = {}
        for match in pattern.finditer(text):
            if not _NOT_AN_ASSISTANT.search(text[: match.start("index")][-20:]):
                numbers["2" if match["index"].lower() in _SECOND else "1"] = match["number"]
        if len(numbers) == 2:
            return numbers["1"], numbers["2"]
    return None


def _lone_pair(lines: list[str]) -> tuple[str, str] | None:
    """The two numbers of the last line, or of the only other line that holds two numbers."""
    if lines and (last := _pair(lines[-1])):
        return last
    pairs = [found for line in lines if (found := _pair(line))]
    return pairs[0] if len(pairs) == 1 else None


def _two_lines(lines: list[str]) -> tuple[str, str] | None:
    """One number each on the first two or the last two lines, and on no other line."""
    found = [re.fullmatch(rf"\W*?({NUMBER}){OF_TEN}\W*", line) for line in lines]
    at = [i for i, match in enumerate(found) if match]
    if len(at) != 2 or at not in ([0, 1], [len(lines) - 2, len(lines) - 1]):
        return None
    first, second = found[at[0]], found[at[1]]
    return (first.group(1), second.group(1)) if first and second else None


def _is_score_line(line: str) -> bool:
    bare = plain(line).strip()
    if not re.search(r"\d", bare) or len(bare) > 100:
        return False
    return _pair(bare) is not None or bool(_LABELLED.search(bare) and SCORE_WORD.search(bare))
