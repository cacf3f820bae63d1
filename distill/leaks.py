"""Which texts overlap with the items of benchmarks: equal, nearly equal, or sharing a long run of words.

Three checks, all on the tokens of `tokenisation`, so that case and punctuation do not count:
exact: the same tokens; near: ROUGE-L F at least NEAR; ngram: a run of n tokens in common, n = 13 as in the
decontamination of GPT-3 and lm-eval, 8 for items shorter than that, twice as many where a token is a single character
of a script without spaces. Runs that stand in more than COMMON items are the wording of a task, not of an item.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel, LCSseq
from rapidfuzz.process import cdist

from distill.novelty import rouge_l
from distill.tokenisation import is_unspaced, tokenise

NEAR = 0.8
COMMON = 30
MOST_LEAKS = 3
"""Items named for one text at most, the clearest first."""
_WORDS, _CHARACTERS = (13, 8), (26, 16)
_SIZES = (*_WORDS, *_CHARACTERS)
_FEWEST_TOKENS = 6  # shorter texts are near one another by chance
_BLOCK = 256
_ROUNDING = 1e-6
_UNKNOWN = 0
_LAST_TOKEN = 1_000_000
_MIX = np.uint64(0x9E3779B97F4A7C15)

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]


class LeakKind(StrEnum):
    EXACT = "exact"
    NEAR = "near"
    NGRAM = "ngram"


@dataclass(frozen=True)
class Leak:
    """`item` is the item's position. `score`: ROUGE-L F, or for ngram the share of the item's runs that the text holds."""

    item: int
    kind: LeakKind
    score: float


@dataclass(frozen=True)
class _Runs:
    """The runs of one length, sorted by hash; `items` says where each stands."""

    size: int
    hashes: Hashes
    items: Numbers


class LeakIndex:
    """All items at once. It never grows, whatever is checked; checking is deterministic."""

    def __init__(self, items: Sequence[str]) -> None:
        tokens = [tokenise(item) for item in items]
        self._vocabulary: dict[str, int] = {}
        for token in (token for one in tokens for token in one):
            if len(self._vocabulary) < _LAST_TOKEN:
                self._vocabulary.setdefault(token, len(self._vocabulary) + 1)
        self._codes = np.random.default_rng(0).integers(2**64, size=len(self._vocabulary) + 1, dtype=np.uint64)
        numbers = [self._numbers(one) for one in tokens]
        self._exact: dict[str, list[int]] = defaultdict(list)
        for at, one in enumerate(tokens):
            if one:
                self._exact[" ".join(one)].append(at)
        self._runs = [runs for size in _SIZES if (runs := self._runs_of(size, tokens, numbers)) is not None]
        self._totals = Counter(int(at) for runs in self._runs for at in runs.items)
        self._by_length = sorted((at for at, one in enumerate(numbers) if one), key=lambda at: len(numbers[at]))
        self._lengths = [len(numbers[at]) for at in self._by_length]
        self._texts = [_string(numbers[at]) for at in self._by_length]

    def check(self, text: str) -> list[Leak]:
        return self.check_many([text])[0]

    def check_many(self, texts: Sequence[str]) -> list[list[Leak]]:
        """For each text the items that it overlaps with, the clearest first; at most MOST_LEAKS."""
        tokens = [tokenise(text) for text in texts]
        numbers = [self._numbers(one) for one in tokens]
        found: list[dict[int, Leak]] = [{} for _ in texts]
        for leaks, one in zip(found, tokens, strict=True):
            _note(leaks, [Leak(at, LeakKind.EXACT, 1.0) for at in self._exact.get(" ".join(one), ())[:MOST_LEAKS]])
        for at, leak in self._near(numbers):
            _note(found[at], [leak])
        for runs in self._runs:
            self._note_runs(runs, numbers, found)
        order = list(LeakKind)
        return [
            sorted(leaks.values(), key=lambda leak: (order.index(leak.kind), -leak.score, leak.item))[:MOST_LEAKS]
            for leaks in found
        ]

    def _numbers(self, tokens: Iterable[str]) -> list[int]:
        return [self._vocabulary.get(token, _UNKNOWN) for token in tokens]

    def _runs_of(self, size: int, tokens: Sequence[list[str]], numbers: Sequence[list[int]]) -> _Runs | None:
        mine = [at for at, one in enumerate(tokens) if _run_size(one) == size]
        hashes, owners = self._hashes(size, [numbers[at] for at in mine])
        if not len(hashes):
            return None
        pairs = np.unique(np.stack([hashes, np.array(mine, dtype=np.int64)[owners].astype(np.uint64)], axis=1), axis=0)
        _, place, count = np.unique(pairs[:, 0], return_inverse=True, return_counts=True)
        pairs = pairs[count[place] <= COMMON]
        return _Runs(size, np.ascontiguousarray(pairs[:, 0]), pairs[:, 1].astype(np.int64))

    def _hashes(self, size: int, numbers: Sequence[list[int]]) -> tuple[Hashes, Numbers]:
        """One hash for each run of known tokens, and which of the texts it stands in."""
        joined = np.array([n for one in numbers for n in (*one, _UNKNOWN)], dtype=np.int64)
        count = len(joined) - size + 1
        if count < 1:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        unknown = np.concatenate([[0], np.cumsum(joined == _UNKNOWN)])
        starts = np.flatnonzero(unknown[size:] == unknown[:-size])
        hashes = np.zeros(len(starts), np.uint64)
        for step in range(size):
            hashes = hashes * _MIX + self._codes[joined[starts + step]]
        ends = np.cumsum([len(one) + 1 for one in numbers])
        return hashes, np.searchsorted(ends, starts, side="right")

    def _note_runs(self, runs: _Runs, numbers: Sequence[list[int]], found: Sequence[dict[int, Leak]]) -> None:
        hashes, owners = self._hashes(runs.size, numbers)
        first = np.searchsorted(runs.hashes, hashes)
        known = first < len(runs.hashes)
        known[known] = runs.hashes[first[known]] == hashes[known]
        shared: dict[int, Counter[int]] = defaultdict(Counter)
        for owner, code in {(int(owners[at]), hashes[at]) for at in np.flatnonzero(known)}:
            low, high = np.searchsorted(runs.hashes, code), np.searchsorted(runs.hashes, code, side="right")
            shared[owner].update(runs.items[low:high].tolist())
        for owner, items in shared.items():
            best = sorted(items.items(), key=lambda one: (-one[1] / self._totals[one[0]], one[0]))[:MOST_LEAKS]
            _note(found[owner], [Leak(at, LeakKind.NGRAM, count / self._totals[at]) for at, count in best])

    def _near(self, numbers: Sequence[list[int]]) -> Iterable[tuple[int, Leak]]:
        """The item most like each text. A pair whose lengths differ too much cannot reach NEAR and is not compared."""
        order = sorted(
            (at for at, one in enumerate(numbers) if len(one) >= _FEWEST_TOKENS), key=lambda at: len(numbers[at])
        )
        ratio = NEAR / (2 - NEAR)
        for start in range(0, len(order), _BLOCK):
            block = order[start : start + _BLOCK]
            low = bisect_left(self._lengths, len(numbers[block[0]]) * ratio - _ROUNDING)
            high = bisect_right(self._lengths, len(numbers[block[-1]]) / ratio + _ROUNDING)
            choices = self._texts[low:high]
            if not choices:
                continue
            texts = [_string(numbers[at]) for at in block]
            table = cdist(
                texts,
                choices,
                scorer=Indel.normalized_similarity,
                score_cutoff=NEAR - _ROUNDING,
                dtype=np.float32,
                workers=-1,
            )
            for row in np.flatnonzero(table.max(axis=1) > 0).tolist():
                best = int(table[row].argmax())
                score = _score(texts[row], choices[best])
                if score >= NEAR:
                    yield block[row], Leak(self._by_length[low + best], LeakKind.NEAR, score)


def _run_size(tokens: Sequence[str]) -> int:
    """0 for an item too short for runs: there only exact and near count."""
    alone = sum(is_unspaced(token) for token in tokens)
    sizes = _CHARACTERS if alone * 2 > len(tokens) else _WORDS
    return next((size for size in sizes if len(tokens) >= size), 0)


def _string(numbers: Iterable[int]) -> str:
    """One code point a token, past the surrogates; unknown tokens are equal to none of an item."""
    return "".join(chr(0xE000 + number) for number in numbers)


def _score(text: str, item: str) -> float:
    lcs = np.array([LCSseq.similarity(text, item)], dtype=np.float64)
    return float(rouge_l(lcs, len(text), np.array([len(item)], dtype=np.float64))[0])


def _note(leaks: dict[int, Leak], more: Iterable[Leak]) -> None:
    for leak in more:
        leaks.setdefault(leak.item, leak)
