"""Two ways in which a person changes what the generator made: another wording, or one that a filter had dropped."""

from dataclasses import dataclass

from django.db import transaction
from django.utils import timezone

from distill.generator import parse_instruction
from distill.leaks import Leak
from distill.records import Instruction as Text
from lionweb import pools_of
from lionweb.models import (
    Approval,
    ApprovalAction,
    ApprovalKind,
    Candidate,
    Instruction,
    Iteration,
    MemberPool,
    Membership,
    Stage,
    User,
)
from lionweb.neighbours import Neighbour, neighbourhood
from lionweb.services import audit, leaks
from lionweb.services.approvals import item, lock_gate, members, refuse_stale, state_of
from lionweb.services.errors import Refused
from lionweb.services.instructions import check_text, clean_text
from lionweb.stages.candidates import first_approval


@dataclass(frozen=True)
class Check:
    """What a text looks like beside the pools and the evaluation sets. It warns; only blocked leaks forbid."""

    neighbours: tuple[Neighbour, ...]
    leaks: tuple[Leak, ...]

    @property
    def similarity(self) -> float:
        return self.neighbours[0].score if self.neighbours else 0.0


@transaction.atomic
def edit(
    *, stage: Stage, candidate: Candidate, actor: User, text: str, given: str = "", seen: int | None = None
) -> Check:
    """Put another wording into the pools; what was generated stays with the candidate as it was.

    Raises Stale, or Refused: the gate is closed, the text is empty, too long or unchanged, is in the pools already, or
    overlaps with an evaluation set where leaks are blocked.
    """
    gate = lock_gate(stage)
    row = item(gate, candidate)
    refuse_stale(row, seen)
    wanted = _text(text, given)
    if wanted.content_hash == row.instruction.content_hash:
        raise Refused("The text is the same as before.", "Change it, or approve it as it is.")
    found = check(gate.iteration, wanted, own=row.instruction_id)
    _refuse_leaks(gate, found)
    new = _instruction(wanted, row.instruction, actor)
    _refuse_known(gate, new, candidate)
    action = ApprovalAction.objects.create(
        iteration=gate.iteration, person=actor, kind=ApprovalKind.EDIT, candidate=candidate, before=state_of(row)
    )
    members(gate).filter(candidate=candidate).update(
        instruction=new,
        action=action,
        similarity=found.similarity,
        approval=Approval.PENDING,
        decided_by=actor,
        decided_at=None,
        rejected_reason="",
        rejected_text="",
    )
    _note_neighbours(candidate, new, found)
    leaks.check(instructions=[new])
    audit.record(actor=actor, action="approval.edit", target=candidate, before=row.instruction_id, after=new.pk)
    return found


@transaction.atomic
def keep_anyway(*, stage: Stage, candidate: Candidate, actor: User) -> Check:
    """Take in a candidate that a filter dropped. The candidate keeps the filter's reason.

    Raises Refused: the gate is closed, it was kept already, it holds no text, is known letter by letter, or leaks.
    """
    gate = lock_gate(stage)
    Candidate.objects.select_for_update(no_key=True, of=("self",)).get(pk=candidate.pk)
    candidate.refresh_from_db()
    if not candidate.judged or not candidate.rejected or members(gate).filter(candidate=candidate).exists():
        raise Refused("This candidate is in the queue already.")
    wanted = dropped_text(candidate)
    found = check(gate.iteration, wanted, own=None)
    _refuse_leaks(gate, found)
    new = _instruction(wanted, candidate.parent, None)
    _refuse_known(gate, new, candidate)
    action = ApprovalAction.objects.create(
        iteration=gate.iteration, person=actor, kind=ApprovalKind.KEEP, candidate=candidate
    )
    approval = first_approval(gate.iteration.experiment.settings, new.content_hash)
    for pool in (MemberPool.TRAIN, MemberPool.CACHE):
        Membership.objects.create(
            experiment=gate.iteration.experiment,
            since=gate.iteration.number + 1,
            instruction=new,
            pool=pool,
            source=candidate.difficulty,
            parent=candidate.parent,
            approval=approval,
            decided_by=actor,
            decided_at=timezone.now() if approval == Approval.APPROVED else None,
            candidate=candidate,
            action=action,
            similarity=found.similarity,
        )
    candidate.instruction = new
    candidate.save(update_fields=["instruction"])
    _note_neighbours(candidate, new, found)
    leaks.check(instructions=[new])
    audit.record(actor=actor, action="approval.keep_anyway", target=candidate, dropped_as=candidate.rejected)
    return found


def check(iteration: Iteration, text: Text, *, own: int | None) -> Check:
    """own: the instruction that this one takes the place of."""
    neighbours = neighbourhood(iteration).nearest([(own, text.prompt)])[0]
    return Check(tuple(neighbours), tuple(leaks.find([text.prompt])[0]))


def dropped_text(candidate: Candidate) -> Text:
    """The reply as the parser reads it, or whole where the parser refuses it. Raises Refused where it holds no text."""
    parsed, _ = parse_instruction(candidate.raw)
    return _text(parsed.text, parsed.input) if parsed else _text(candidate.raw, "")


def _text(text: str, given: str) -> Text:
    wanted = clean_text(text, given)
    check_text(wanted)
    return wanted


def _instruction(text: Text, source: Instruction, editor: User | None) -> Instruction:
    """With the language and category of what it comes from; a text that is known already is that instruction."""
    return Instruction.objects.get_or_create(
        content_hash=text.content_hash,
        defaults={
            "text": text.text,
            "input": text.input,
            "language": source.language,
            "category": source.category,
            "edited_from": source if editor else None,
            "edited_by": editor,
        },
    )[0]


def _refuse_known(gate: Stage, new: Instruction, candidate: Candidate) -> None:
    iteration = gate.iteration
    known = pools_of.cache_and_heldout(iteration.experiment, iteration.number).filter(pk=new.pk).exists()
    if known or members(gate).filter(instruction=new).exclude(candidate=candidate).exists():
        raise Refused(f"The pools hold this text already, as instruction {new.pk}.", "Change the text, or reject it.")


def _refuse_leaks(gate: Stage, found: Check) -> None:
    if found.leaks and leaks.blocks(gate.iteration.experiment):
        raise Refused(
            "This text overlaps with an evaluation set, and this experiment blocks those.", "Change the text."
        )


def _note_neighbours(candidate: Candidate, new: Instruction, found: Check) -> None:
    kept = (candidate.neighbours or {}) | {str(new.pk): [one.as_json() for one in found.neighbours]}
    Candidate.objects.filter(pk=candidate.pk).update(neighbours=kept)
