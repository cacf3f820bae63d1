"""New instructions: the generator's replies (stored as they come), then the decision on each round of them."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from django.db import transaction
from django.db.models import Count, Q

from distill.discrimination import seed_sets
from distill.errors import GeneratorDry
from distill.generation import Generation, Shares, Slot, is_barren, share_out
from distill.generator import generate_request, read_candidate
from distill.novelty import NoveltyIndex
from distill.records import CallOutcome, ChatRequest, Completion, Difficulty, Finish, Purpose, Verdict
from distill.records import Candidate as EngineCandidate
from distill.records import Instruction as EngineInstruction
from distill.settings import ExperimentSettings
from lionweb import pools_of
from lionweb.models import Approval, Candidate, Instruction, Iteration, Lease, MemberPool, Membership, Stage
from lionweb.services import leaks, leases
from lionweb.stages import outcomes as common
from lionweb.stages.answers import engine_instruction
from lionweb.stages.review_queue import falls_in_sample
from lionweb.storable import storable


class Round:
    """Where the generation of an iteration stands, recomputed from its stored candidates."""

    def __init__(self, stage: Stage) -> None:
        self.iteration = stage.iteration
        self.experiment = stage.iteration.experiment
        self.settings = self.experiment.settings

    @cached_property
    def parents(self) -> dict[str, Instruction]:
        """Seed instructions by content hash."""
        judged = self.iteration.classifications.filter(pool=MemberPool.CACHE).exclude(verdict=Verdict.UNSCORED)
        return {c.instruction.content_hash: c.instruction for c in judged.select_related("instruction")}

    @cached_property
    def seeds(self) -> dict[Difficulty, list[str]]:
        judged = self.iteration.classifications.filter(pool=MemberPool.CACHE)
        rows = judged.values_list("instruction__content_hash", "verdict")
        return seed_sets({content_hash: Verdict(verdict) for content_hash, verdict in rows})

    @cached_property
    def shares(self) -> Shares:
        wanted = {Difficulty.HARD: self.settings.generator.hard, Difficulty.EASY: self.settings.generator.easy}
        return share_out(wanted, self.seeds)

    @property
    def number(self) -> int:
        last = self.iteration.candidates.filter(judged=True).order_by("-round").first()
        return last.round + 1 if last else 0

    def generation(self, index: NoveltyIndex) -> Generation:
        judged = list(
            self.iteration.candidates.filter(judged=True).values("difficulty", "rejected", "round").order_by("round")
        )
        kept = [c for c in judged if not c["rejected"]]
        return Generation(
            seed=self.settings.seed,
            iteration=self.iteration.number,
            wanted=self.shares.wanted,
            seeds=self.seeds,
            index=index,
            max_attempts=self.settings.generator.max_attempts,
            asked=Counter(Difficulty(c["difficulty"]) for c in judged),
            kept=Counter(Difficulty(c["difficulty"]) for c in kept),
            rejected=Counter(c["rejected"] for c in judged if c["rejected"]),
            barren=_barren(judged),
        )

    def open_slots(self) -> list[Slot]:
        """Slots of the current round; none once enough were kept or the attempts are used up."""
        return self.generation(_NO_INDEX).next_round()

    def unanswered(self) -> list[Slot]:
        slots = self.open_slots()
        there = set(self.iteration.candidates.filter(key__in=[s.key for s in slots]).values_list("key", flat=True))
        return [slot for slot in slots if slot.key not in there]

    def shortfall(self) -> GeneratorDry | None:
        return self.generation(_NO_INDEX).shortfall()


_NO_INDEX = NoveltyIndex(1.0)


def _barren(judged: Sequence[Mapping[str, Any]]) -> set[Difficulty]:
    """The kinds of which a whole round was dropped: no more of them is asked for."""
    rounds: dict[tuple[int, str], list[EngineCandidate]] = defaultdict(list)
    for c in judged:
        decided = EngineCandidate("", Difficulty(c["difficulty"]), EngineInstruction(""), "", None, c["rejected"])
        rounds[c["round"], c["difficulty"]].append(decided)
    return {Difficulty(kind) for (_, kind), rows in rounds.items() if is_barren(rows)}


class Candidates:
    name = "candidates"
    queue = "api"
    label = "generated candidates"

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.round = Round(stage)
        self.endpoint = self.round.experiment.endpoint
        self.prefix = f"generate:{stage.iteration_id}:"

    def total_rows(self) -> int:
        return sum(self.round.shares.wanted.values())

    def open_rows(self) -> int:
        return len(self.round.unanswered())

    def claim(self, lease: Lease, limit: int) -> list[ChatRequest]:
        slots = {f"{self.prefix}{slot.key}": slot for slot in self.round.unanswered()[:limit]}
        settings = self.round.settings.generator
        return [
            generate_request(
                key,
                slots[key].difficulty,
                engine_instruction(self.round.parents[slots[key].parent_hash]),
                settings,
                attempt=slots[key].attempt,
            )
            for key in leases.claim(lease=lease, keys=list(slots))
        ]

    @transaction.atomic
    def store(self, outcomes: Sequence[CallOutcome]) -> None:
        slots = {f"{self.prefix}{slot.key}": slot for slot in self.round.open_slots()}
        number = self.round.number
        kept = [o for o in outcomes if o.key in slots and not common.is_interrupted(o)]
        rows = [self._row(slots[o.key], o.completion, number) for o in kept]
        Candidate.objects.bulk_create(rows, ignore_conflicts=True)
        common.write_ledger(stage=self.stage, endpoint=self.endpoint, purpose=Purpose.GENERATE, outcomes=outcomes)
        common.free(outcomes)

    def _row(self, slot: Slot, completion: Completion | None, number: int) -> Candidate:
        return Candidate(
            iteration=self.round.iteration,
            key=slot.key,
            difficulty=slot.difficulty,
            round=number,
            parent=self.round.parents[slot.parent_hash],
            raw=storable(completion.text) if completion else "",
            finish=completion.finish if completion else "",
        )


class Acceptance:
    """Decide on a complete round: what can be read, is new, and is still wanted."""

    name = "accept"
    queue = "default"
    label = "novelty check"

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.round = Round(stage)

    def total_rows(self) -> int:
        return 0

    def open_rows(self) -> int:
        return 1 if self.round.open_slots() and not self.round.unanswered() else 0

    def work(self) -> None:
        generation = self.round.generation(self._index())
        slots = generation.next_round()
        rows = {c.key: c for c in self.round.iteration.candidates.filter(key__in=[s.key for s in slots], judged=False)}
        if not slots or rows.keys() != {slot.key for slot in slots}:
            return
        decisions = generation.accept(self._without_leaks([self._read(slot, rows[slot.key]) for slot in slots]))
        with transaction.atomic():
            # `advance` holds this lock while it looks at the parts: it must not see half of a round's end.
            Iteration.objects.select_for_update(no_key=True).get(pk=self.round.iteration.pk)
            if self.round.iteration.candidates.filter(pk__in=[row.pk for row in rows.values()], judged=True).exists():
                return
            for decided in decisions:
                self._keep(rows[decided.key], decided)
            leaks.check(instructions=[row.instruction for row in rows.values() if row.instruction])

    def _without_leaks(self, read: list[EngineCandidate]) -> list[EngineCandidate]:
        """Where leaks are blocked, those that overlap with an evaluation set are rejected here, before their novelty."""
        if not leaks.blocks(self.round.experiment):
            return read
        found = leaks.find([one.instruction.prompt if one.instruction else "" for one in read])
        return [
            replace(one, instruction=None, rejected="benchmark_leak") if one.instruction and hits else one
            for one, hits in zip(read, found, strict=True)
        ]

    def _index(self) -> NoveltyIndex:
        """Everything that a new instruction must differ from: Cache Pool, held-out set, and what was kept so far."""
        known = pools_of.cache_and_heldout(self.round.experiment, self.round.iteration.number)
        kept = Instruction.objects.filter(candidates__iteration=self.round.iteration)
        texts = [engine_instruction(row).prompt for rows in (known, kept) for row in rows.order_by("pk").iterator()]
        return NoveltyIndex(self.round.settings.generator.novelty_threshold, texts)

    def _read(self, slot: Slot, row: Candidate) -> EngineCandidate:
        done = Completion(row.raw, Finish(row.finish), 0, 0, 0.0) if row.finish else None
        return read_candidate(slot, engine_instruction(self.round.parents[slot.parent_hash]), done)

    def _keep(self, row: Candidate, decided: EngineCandidate) -> None:
        row.judged, row.rejected = True, decided.rejected
        row.rouge_l, row.nearest = decided.rouge_l, storable(decided.nearest)
        if not decided.rejected and decided.instruction is not None:
            row.instruction = self._instruction(row.parent, decided)
            self._add_to_pools(row, row.instruction)
        row.save()

    def _instruction(self, parent: Instruction, decided: EngineCandidate) -> Instruction:
        new = decided.instruction
        assert new is not None
        instruction, _ = Instruction.objects.get_or_create(
            content_hash=new.content_hash,
            defaults={
                "text": new.text,
                "input": new.input,
                "language": parent.language,
                "category": parent.category,
            },
        )
        return instruction

    def _add_to_pools(self, row: Candidate, instruction: Instruction) -> None:
        for pool in (MemberPool.TRAIN, MemberPool.CACHE):
            Membership.objects.get_or_create(
                experiment=self.round.experiment,
                since=self.round.iteration.number + 1,
                instruction=instruction,
                pool=pool,
                defaults={
                    "source": row.difficulty,
                    "parent": row.parent,
                    "approval": first_approval(self.round.settings, instruction.content_hash),
                    "candidate": row,
                    "similarity": row.rouge_l,
                },
            )


def first_approval(settings: ExperimentSettings, content_hash: str) -> Approval:
    """Waiting, or approved at once where the experiment asks nobody about this one."""
    gates = settings.gates
    drawn = gates.approval == "require" or (
        gates.approval == "sample" and falls_in_sample(content_hash, settings.seed, gates.approval_sample_percent)
    )
    return Approval.PENDING if drawn else Approval.APPROVED


def rejections(stage: Stage) -> dict[str, int]:
    rows = stage.iteration.candidates.filter(judged=True).filter(~Q(rejected=""))
    return dict(rows.values_list("rejected").annotate(n=Count("pk")).order_by("-n"))
