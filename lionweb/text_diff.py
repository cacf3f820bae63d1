"""Two texts word by word: what both have, and what only one has."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Indel

WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    kind: str  # equal, delete (only left), insert (only right)
    text: str


def diff(left: str, right: str) -> list[Piece]:
    old, new = WORDS.findall(left), WORDS.findall(right)
    pieces: list[Piece] = []
    for step in Indel.opcodes(old, new):
        pieces += _pieces(step.tag, old[step.src_start : step.src_end], new[step.dest_start : step.dest_end])
    return pieces


def _pieces(tag: str, old: Sequence[str], new: Sequence[str]) -> list[Piece]:
    if tag == "equal":
        return [Piece("equal", "".join(old))]
    return [Piece(kind, "".join(words)) for kind, words in (("delete", old), ("insert", new)) if words]
