"""Reads the one score of a single answer out of what a referee model wrote. As strict about values as for pairs.

Tried in this order: JSON; a number labelled as the score (the last one counts); a line that is a number and nothing
else (the first, the last, or the only one). The first way that finds a number decides.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from distill import referee_parser as pairs

_LABELLED = re.compile(
    rf"(?:{pairs.SCORE_WORD.pattern})\w*[^\d\n]{{0,60}}?{pairs.BIND}\s*[\"'(<]?\s*(?P<number>{pairs.NUMBER}){pairs.OF_TEN}{pairs.END}",
    re.I,
)
_ALONE = re.compile(rf"[^\w+−-]*({pairs.NUMBER}){pairs.OF_TEN}{pairs.UNIT}[^\w%/]*", re.I)


def parse_score(raw: str, *, cut: bool = False) -> float | None:
    """From 1 to 10, or None if the reply does not hold exactly one clear score. cut: see `parse_scores`."""
    text = pairs.plain(raw)
    if cut:
        text = re.sub(r"[\d.,]+$", "", text.rstrip())
    ways: tuple[Callable[[str], str | None], ...] = (_from_json, _labelled, _alone)
    found = next((number for way in ways if (number := way(text)) is not None), None)
    return None if found is None else pairs.score(found)


def _from_json(text: str) -> str | None:
    for value in pairs.json_values(text):
        if isinstance(value, dict):
            numbers = [pairs.as_number(item) for key, item in value.items() if pairs.SCORE_WORD.search(key)]
            usable = [number for number in numbers if number is not None]
            if len(usable) == 1:
                return usable[0]
    return None


def _labelled(text: str) -> str | None:
    found = [match["number"] for match in _LABELLED.finditer(text)]
    return found[-1] if found else None


def _alone(text: str) -> str | None:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbers = [match.group(1) if (match := _ALONE.fullmatch(line)) else None for line in lines]
    at = [place for place, number in enumerate(numbers) if number]
    return numbers[at[0]] if len(at) == 1 and at[0] in (0, len(lines) - 1) else None
