"""One index of every known instruction, and the ROUGE-L F of new ones against it.

ROUGE-L F of two token sequences is 2 x LCS / (length + length): the normalised Indel similarity. With each distinct
token mapped to one code point, a text becomes a string, and rapidfuzz compares strings in bulk on all cores. Its
32-bit results only find the nearest texts; the score itself is computed again from the integer LCS with the float
operations of rouge_score, so that a pair at exactly the threshold is decided as rouge_score decides it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel
from rapidfuzz.process import cdist

from distill.tokenisation import tokenise

_QUERIES, _CHOICES = 256, 65_536  # one block of float32 similarities: 64 MiB
_ROUNDING = 1e-6  # more than a float32 similarity can be off
_FIRST_CODE, _SURROGATES, _LAST_CODE = 0x20, range(0xD800, 0xE000), 0x10FFFF

Code = str | list[int]
"""A token sequence: a string of code points, or of plain numbers once there are more tokens than code points."""


@dataclass(frozen=True)
class Novel:
    """What the index says of one text. `score` is its ROUGE-L F with `nearest`, the most similar known text."""

    score: float
    nearest: str | None  # None: nothing known has a token in common with it
    is_novel: bool


class NoveltyIndex:
    """Known texts in the order they came. A text is novel if its ROUGE-L F with each is at most the threshold.

    A text that is known letter by letter is never novel, whatever the threshold and even if it holds no word.
    Give it `Instruction.prompt`, so that instruction and input both count.
    """

    def __init__(self, threshold: float, texts: Iterable[str] = ()) -> None:
        self.threshold = threshold
        self._vocabulary: dict[str, int] = {}
        self._texts: list[str] = []
        self._codes: list[Code] = []
        self._known: set[str] = set()
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._texts)

    def __contains__(self, text: str) -> bool:
        return text in self._known

    def add(self, text: str) -> None:
        self._add(text, self._encode(text))

    def nearest(self, text: str) -> tuple[float, str | None]:
        """The highest ROUGE-L F with a known text, and that text (the first known one where several tie)."""
        verdict = self._judge(text, *self._best_known([self._encode(text)])[0])
        return verdict.score, verdict.nearest

    def closest(self, texts: Sequence[str], count: int) -> list[list[tuple[int, float]]]:
        """For each text the positions of the `count` most similar known texts with their ROUGE-L F, the best first."""
        found: list[list[tuple[int, float]]] = []
        for start in range(0, len(texts), _QUERIES):
            codes = [self._encode(text) for text in texts[start : start + _QUERIES]]
            best: list[list[tuple[int, float]]] = [[] for _ in codes]
            for low in range(0, len(self), _CHOICES):
                choices = self._codes[low : low + _CHOICES]
                rows = zip(best, _similarities(codes, choices), codes, strict=True)
                best = [_top([*old, *_scored(row, code, choices, low, count)], count) for old, row, code in rows]
            found += best
        return found

    def check_many(self, texts: Sequence[str]) -> list[Novel]:
        """Judge the texts one after the other: each novel one joins the index before the next is judged."""
        found: list[Novel] = []
        for start in range(0, len(texts), _QUERIES):
            found += self._check_block(texts[start : start + _QUERIES])
        return found

    def _check_block(self, texts: Sequence[str]) -> list[Novel]:
        codes = [self._encode(text) for text in texts]
        best = self._best_known(codes)
        among = _similarities(codes, codes)
        joined: list[int] = []  # positions in this block that were novel
        first = len(self)
        found = []
        for i, text in enumerate(texts):
            new = _best(among[i, joined], codes[i], [codes[j] for j in joined], first)
            verdict = self._judge(text, *_higher(best[i], new))
            if verdict.is_novel:
                joined.append(i)
                self._add(text, codes[i])
            found.append(verdict)
        return found

    def _best_known(self, codes: list[Code]) -> list[tuple[float, int]]:
        """For each code sequence the highest score with a known text, and that text's position (-1: none)."""
        best = [(0.0, -1)] * len(codes)
        for low in range(0, len(self), _CHOICES):
            choices = self._codes[low : low + _CHOICES]
            block = _similarities(codes, choices)
            best = [
                _higher(old, _best(row, code, choices, low)) for old, row, code in zip(best, block, codes, strict=True)
            ]
        return best

    def _judge(self, text: str, score: float, position: int) -> Novel:
        if text in self._known:
            return Novel(1.0, text, False)
        return Novel(score, self._texts[position] if position >= 0 else None, score <= self.threshold)

    def _add(self, text: str, code: Code) -> None:
        self._texts.append(text)
        self._codes.append(code)
        self._known.add(text)

    def _encode(self, text: str) -> Code:
        numbers = [self._number(token) for token in tokenise(text)]
        return "".join(map(chr, numbers)) if all(n <= _LAST_CODE for n in numbers) else numbers

    def _number(self, token: str) -> int:
        number = self._vocabulary.get(token)
        if number is None:
            number = _FIRST_CODE + len(self._vocabulary)
            number += len(_SURROGATES) if number >= _SURROGATES.start else 0
            self._vocabulary[token] = number
        return number


def rouge_l(lcs: NDArray[np.float64], length: int, other_lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """F-measure of precision and recall in the order of operations of rouge_score. `lcs` > 0."""
    precision, recall = lcs / length, lcs / other_lengths
    return 2 * precision * recall / (precision + recall)


def _similarities(codes: Sequence[Code], choices: Sequence[Code]) -> NDArray[np.float32]:
    return cdist(codes, choices, scorer=Indel.normalized_similarity, dtype=np.float32, workers=-1)


def _best(row: NDArray[np.float32], code: Code, choices: Sequence[Code], first: int) -> tuple[float, int]:
    """Exact best of one row of similarities; positions count from `first`. Two empty texts are not similar."""
    top = float(row.max(initial=0.0))
    if top == 0.0 or not code:
        return 0.0, -1
    close = np.flatnonzero(row >= top - _ROUNDING).tolist()
    lengths = np.array([len(choices[i]) for i in close], dtype=np.float64)
    lcs = np.rint(row[close].astype(np.float64) * (len(code) + lengths) / 2)
    scores = rouge_l(lcs, len(code), lengths)
    at = int(scores.argmax())
    return float(scores[at]), first + close[at]


def _scored(
    row: NDArray[np.float32], code: Code, choices: Sequence[Code], first: int, count: int
) -> list[tuple[int, float]]:
    near = np.argpartition(row, -count)[-count:] if len(row) > count else np.arange(len(row))
    near = near[row[near] > 0]
    if not code or not len(near):
        return []
    lengths = np.array([len(choices[i]) for i in near], dtype=np.float64)
    lcs = np.rint(row[near].astype(np.float64) * (len(code) + lengths) / 2)
    return list(zip((near + first).tolist(), rouge_l(lcs, len(code), lengths).tolist(), strict=True))


def _top(scored: list[tuple[int, float]], count: int) -> list[tuple[int, float]]:
    return sorted(scored, key=lambda one: (-one[1], one[0]))[:count]


def _higher(old: tuple[float, int], new: tuple[float, int]) -> tuple[float, int]:
    return new if new[0] > old[0] else old
