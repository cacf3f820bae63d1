"""Words for ROUGE-L in any script.

Text whose letters and digits are all ASCII gets the tokens of the rouge_score package (lower case, runs of [a-z0-9],
no stemming). That package drops every other letter, so a Chinese or Russian text would have no tokens at all and could
never be a near duplicate; here such text is split into runs of letters, marks and digits, and scripts written without
spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) into single characters with their marks.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache

_ASCII_WORD = re.compile(r"[a-z0-9]+")
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Burmese
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # Han radicals
    (0x3005, 0x3007),
    (0x3040, 0x30FF),  # kana
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),  # Han, here and below
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),  # half-width kana
    (0x20000, 0x3FFFF),
)


def tokenise(text: str) -> list[str]:
    lowered = text.lower()
    if lowered.isascii():
        return _ASCII_WORD.findall(lowered)
    return _unicode_word().findall(unicodedata.normalize("NFC", lowered))


@cache
def _unicode_word() -> re.Pattern[str]:
    """Built at first use: it looks at every code point, which takes a moment."""
    letters: list[int] = []
    marks: list[int] = []
    unspaced: list[int] = []
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category[0] == "M":
            marks.append(code)
        elif category[0] == "L" or category == "Nd":
            (unspaced if _is_unspaced(code) else letters).append(code)
    mark = _char_class(marks)
    return re.compile(f"[{_char_class(unspaced)}][{mark}]*|[{_char_class(letters)}{mark}]+")


def is_unspaced(token: str) -> bool:
    """Whether a token is one character of a script without spaces."""
    return not token.isascii() and _is_unspaced(ord(token[0]))


def _is_unspaced(code: int) -> bool:
    return any(low <= code <= high for low, high in _UNSPACED)


def _char_class(codes: list[int]) -> str:
    return "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in _runs(codes))


def _runs(codes: list[int]) -> Iterator[tuple[int, int]]:
    low = high = codes[0]
    for code in codes[1:]:
        if code != high + 1:
            yield low, high
            low = code
        high = code
    yield low, high
