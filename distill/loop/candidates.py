"""Generation: replies are kept as they come; each round of them is decided on once it is whole."""

from __future__ import annotations

from collections.abc import Sequence

from distill.generation import Generation, Slot, share_out
from distill.generator import generate_request, read_candidate
from distill.loop.pools import as_row
from distill.loop.run import Run
from distill.loop.verdicts import seeds
from distill.novelty import NoveltyIndex
from distill.records import CallOutcome, Candidate, Completion, Difficulty, Finish, Instruction


def generate(run: Run, iteration: int) -> None:
    """Raises GeneratorDry if nothing at all is kept, DistillError if no instruction has a verdict."""
    wanted = {Difficulty.HARD: run.settings.generator.hard, Difficulty.EASY: run.settings.generator.easy}
    seed_hashes = seeds(run, iteration)
    shares = share_out(wanted, seed_hashes)
    if shares.note:
        run.say(f"  {shares.note}")
    known = [one.prompt for one in run.pools.cache_and_heldout(iteration)]
    generation = Generation(
        seed=run.settings.seed,
        iteration=iteration,
        wanted=shares.wanted,
        seeds=seed_hashes,
        index=NoveltyIndex(run.settings.generator.novelty_threshold, known),
        max_attempts=run.settings.generator.max_attempts,
    )
    _Rounds(run, iteration).run(generation)
    if short := generation.shortfall():
        if not generation.kept.total():
            raise short
        run.say(f"  {short}")


class _Rounds:
    """Runs through the rounds from the first one, as if new: what a stored reply answers is not asked again."""

    def __init__(self, run: Run, iteration: int) -> None:
        self._run, self._iteration = run, iteration
        self._parents = {one.content_hash: one for one in run.pools.cache(iteration)}
        self._replies = {
            row["key"]: _completion(row["text"], row["finish"])
            for row in run.folder.replies.rows
            if row["iteration"] == iteration
        }
        self._written = {row["key"] for row in run.folder.candidates.rows if row["iteration"] == iteration}

    def run(self, generation: Generation) -> None:
        number = 0
        while slots := generation.next_round():
            self._ask([slot for slot in slots if slot.key not in self._replies], number)
            for decided in generation.accept([self._read(slot) for slot in slots]):
                if decided.key not in self._written:
                    self._write(decided, number)
            number += 1

    def _ask(self, slots: Sequence[Slot], number: int) -> None:
        settings = self._run.settings.generator
        requests = [
            generate_request(slot.key, slot.difficulty, self._parents[slot.parent_hash], settings, attempt=slot.attempt)
            for slot in slots
        ]
        label = f"candidates, round {number + 1}" if number else "candidates"
        for failed in self._run.calls.ask(label, requests, self._keep):
            self._keep(failed)

    def _keep(self, outcome: CallOutcome) -> None:
        """A failed call takes its slot too: another one of the next round makes up for it."""
        text, finish = (outcome.completion.text, outcome.completion.finish) if outcome.completion else ("", "")
        row = {"iteration": self._iteration, "key": outcome.key, "text": text, "finish": finish}
        self._run.folder.replies.append(row)
        self._replies[outcome.key] = _completion(text, finish)

    def _read(self, slot: Slot) -> Candidate:
        return read_candidate(slot, self._parents[slot.parent_hash], self._replies[slot.key])

    def _write(self, decided: Candidate, number: int) -> None:
        self._run.folder.candidates.append(
            {
                "iteration": self._iteration,
                "key": decided.key,
                "round": number,
                "difficulty": decided.difficulty,
                "parent": decided.parent.content_hash,
                "rejected": decided.rejected,
                "instruction": as_row(_with_labels(decided.instruction, decided.parent)),
                "rouge_l": round(decided.rouge_l, 6),
                "nearest": decided.nearest,
                "raw": decided.raw,
            }
        )


def _with_labels(new: Instruction | None, parent: Instruction) -> Instruction | None:
    return Instruction(new.text, new.input, parent.language, parent.category) if new else None


def _completion(text: str, finish: str) -> Completion | None:
    """None: the call failed for good."""
    return Completion(text, Finish(finish), 0, 0, 0.0) if finish else None
