"""Two texts word by word, for people: what was taken out, what came in."""

import re
from dataclasses import dataclass
from difflib import SequenceMatcher

MOST_WORDS = 2000
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    kind: str  # same, gone or new
    text: str


def word_diff(old: str, new: str) -> list[Piece]:
    """Raises ValueError for texts of more than MOST_WORDS words and marks: comparing takes quadratic time."""
    a, b = _WORD.findall(old), _WORD.findall(new)
    if max(len(a), len(b)) > MOST_WORDS:
        raise ValueError("too long to compare")
    pieces = []
    for tag, a1, a2, b1, b2 in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            pieces.append(Piece("same", "".join(a[a1:a2])))
            continue
        pieces += [Piece("gone", "".join(a[a1:a2]))] if a2 > a1 else []
        pieces += [Piece("new", "".join(b[b1:b2]))] if b2 > b1 else []
    return pieces
