"""Which new instructions to ask for, and which to keep: pure and deterministic.

A generation is a series of rounds. Each round asks for exactly what is still missing; its replies are judged together,
in slot order, whatever order they came in. Nothing here calls a model or keeps a file: with the same arguments and the
same replies it makes the same decisions, so a driver that stores every reply under (iteration, slot key) may stop at
any moment and later run through the stored ones again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from distill.errors import DistillError, GeneratorDry
from distill.novelty import Novel, NoveltyIndex
from distill.records import Candidate, Difficulty

KINDS = (Difficulty.HARD, Difficulty.EASY)
_VARIATIONS = 1_000_000
"""Variation numbers of one iteration: no two iterations ask the same of the same parent."""
_BARREN_ROUND = 20
"""A round of so many replies of a kind, or more, none of them kept, is reason enough to stop asking for that kind."""

Counts = Mapping[Difficulty, int]


@dataclass(frozen=True)
class Slot:
    """One request to the generator. `key` is unique within the iteration, `index` counts within the difficulty."""

    key: str
    difficulty: Difficulty
    index: int
    parent_hash: str
    attempt: int  # makes the prompt unique among all that ask about this parent


@dataclass(frozen=True)
class Shares:
    """How many new instructions to make from each seed set; `note` says why if that is not what the settings say."""

    wanted: dict[Difficulty, int]
    note: str = ""


def share_out(wanted: Counts, seeds: Mapping[Difficulty, Collection[str]]) -> Shares:
    """Move the share of an empty seed set to the other; without any seed raise DistillError."""
    asked = {kind: wanted.get(kind, 0) for kind in KINDS}
    empty = [kind for kind in KINDS if not seeds.get(kind)]
    moved = sum(asked[kind] for kind in empty)
    if not moved:
        return Shares(asked)
    if len(empty) == len(KINDS):
        raise DistillError(
            "No instruction has a verdict, so there is nothing to generate from.",
            "Look at the referee's replies. If they hold no scores, clone the experiment with another referee, a higher "
            "token limit or structured output: answers that are there already are not paid for again.",
        )
    gone = empty[0]
    kept = next(kind for kind in KINDS if kind != gone)
    shares = {kept: asked[kept] + moved, gone: 0}
    note = f"No instruction was {gone}: its share of {moved} new instructions is made from {kept} ones instead."
    return Shares({kind: shares[kind] for kind in KINDS}, note)


def plan_round(
    seed: int, iteration: int, seeds: Mapping[Difficulty, Collection[str]], asked: Counts, missing: Counts
) -> list[Slot]:
    """The next `missing` slots of each difficulty after the `asked` first ones, hard and easy in turn.

    Parents are drawn without replacement, each seed once before any comes a second time, in an order that depends on
    the seed, the iteration and the set of seeds (content hashes) alone.
    """
    slots = [
        slot
        for kind in KINDS
        if missing.get(kind, 0) > 0
        for slot in _slots(seed, iteration, kind, sorted(set(seeds.get(kind, ()))), asked.get(kind, 0), missing[kind])
    ]
    return sorted(slots, key=lambda slot: (slot.index - asked.get(slot.difficulty, 0), KINDS.index(slot.difficulty)))


def _slots(seed: int, iteration: int, kind: Difficulty, seeds: list[str], start: int, count: int) -> list[Slot]:
    slots = []
    order: list[str] = []
    for index in range(start, start + count):
        turn, at = divmod(index, len(seeds))
        if not order or at == 0:
            order = seeds.copy()
            random.Random(f"{seed}/{iteration}/{kind}/{turn}").shuffle(order)
        slots.append(Slot(f"{kind}-{index:06d}", kind, index, order[at], iteration * _VARIATIONS + turn))
    return slots


def accept_round(candidates: Sequence[Candidate], index: NoveltyIndex, missing: Counts) -> list[Candidate]:
    """Decide on candidates in slot order. Each one kept joins the index before the next is judged.

    Reasons added here: duplicate, near_duplicate (with the nearest known text and its ROUGE-L F) and surplus.
    """
    left = {kind: missing.get(kind, 0) for kind in KINDS}
    decided: list[Candidate] = []
    while len(decided) < len(candidates):
        batch = _within(candidates[len(decided) :], left)
        for candidate in _judge(batch, index, left):
            decided.append(candidate)
            left[candidate.difficulty] -= not candidate.rejected
    return decided


def _within(candidates: Sequence[Candidate], left: Counts) -> list[Candidate]:
    """The longest run of candidates that cannot yield more than is missing: it may be judged in one go."""
    room = dict(left)
    full = {kind for kind in KINDS if not room[kind]}
    batch = []
    for candidate in candidates:
        usable = candidate.instruction is not None and candidate.difficulty not in full
        if usable and not room[candidate.difficulty]:
            break
        room[candidate.difficulty] -= usable
        batch.append(candidate)
    return batch


def _judge(batch: Sequence[Candidate], index: NoveltyIndex, left: Counts) -> list[Candidate]:
    checked = [c for c in batch if c.instruction is not None and left[c.difficulty]]
    texts = [c.instruction.prompt for c in checked if c.instruction is not None]
    verdicts = dict(zip((c.key for c in checked), index.check_many(texts), strict=True))
    return [_decide(candidate, verdicts.get(candidate.key)) for candidate in batch]


def _decide(candidate: Candidate, verdict: Novel | None) -> Candidate:
    if candidate.instruction is None:
        return candidate
    if verdict is None:
        return replace(candidate, rejected="surplus")
    same = verdict.nearest == candidate.instruction.prompt
    rejected = "" if verdict.is_novel else "duplicate" if same else "near_duplicate"
    return replace(candidate, rejected=rejected, rouge_l=verdict.score, nearest=verdict.nearest or "")


@dataclass
class Generation:
    """The rounds of one iteration's generation: `next_round`, answer its slots, `accept`, until no slot is left.

    index: every Cache Pool instruction's prompt; what is kept is added to it.
    """

    seed: int
    iteration: int
    wanted: Counts  # from share_out
    seeds: Mapping[Difficulty, Collection[str]]
    index: NoveltyIndex
    max_attempts: int
    asked: Counter[Difficulty] = field(default_factory=Counter)
    kept: Counter[Difficulty] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    barren: set[Difficulty] = field(default_factory=set)

    def next_round(self) -> list[Slot]:
        """The same slots until they are accepted; none when all is there or the attempts are used up."""
        return plan_round(self.seed, self.iteration, self.seeds, self.asked, {k: self._missing(k) for k in KINDS})

    def accept(self, candidates: Iterable[Candidate]) -> list[Candidate]:
        """Decide on one candidate for each slot of `next_round`, given in any order, returned in slot order."""
        slots, by_key = self.next_round(), {c.key: c for c in candidates}
        if by_key.keys() != {slot.key for slot in slots}:
            raise ValueError("accept needs one candidate for each slot of the round and no other")
        missing = {kind: self._missing(kind) for kind in KINDS}
        decided = accept_round([by_key[slot.key] for slot in slots], self.index, missing)
        for candidate in decided:
            self.asked[candidate.difficulty] += 1
            self.kept[candidate.difficulty] += not candidate.rejected
            self.rejected.update([candidate.rejected] if candidate.rejected else [])
        self.barren |= {kind for kind in KINDS if is_barren([c for c in decided if c.difficulty == kind])}
        return decided

    def shortfall(self) -> GeneratorDry | None:
        """Once `next_round` is empty: why fewer were kept than wanted, or None if all are there."""
        wanted, kept = sum(self.wanted.values()), self.kept.total()
        if kept >= wanted:
            return None
        counts = ", ".join(f"{reason} {count}" for reason, count in self.rejected.most_common())
        return GeneratorDry(
            f"The generator yielded {kept} of {wanted} new instructions in {self.asked.total()} attempts "
            f"(rejected: {counts}).",
            _ADVICE.get(self.rejected.most_common(1)[0][0], _ADVICE[""]),
        )

    def _missing(self, kind: Difficulty) -> int:
        if kind in self.barren:
            return 0
        wanted = self.wanted.get(kind, 0)
        return min(wanted - self.kept[kind], wanted * self.max_attempts - self.asked[kind])


def is_barren(decided: Sequence[Candidate]) -> bool:
    """No reply of a large enough round was kept. Failed calls say nothing about the generator."""
    replies = [c for c in decided if c.rejected != "call_failed"]
    return len(replies) >= _BARREN_ROUND and all(c.rejected for c in replies)


_ADVICE = {
    "": "Try another generator model, or read some of its replies in the list of rejected candidates.",
    "near_duplicate": "Raise the novelty threshold or the generator's temperature, or ask for fewer new instructions.",
    "duplicate": "Raise the generator's temperature, or ask for fewer new instructions.",
    "benchmark_leak": "Look at the evaluation sets that the candidates overlap with, or have leaks marked only.",
    "cut": "Raise the generator's token limit.",
    "call_failed": "Check the endpoint: most calls failed.",
    "refusal": "The model refuses the request: try another generator model.",
}
