"""Changes of one instruction. Its text is never rewritten: an edited one is a new row that takes the old one's place in pools."""

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from distill.records import Instruction as Text
from lionweb.models import Instruction, LeakHit, Pool, PoolEntry, User
from lionweb.services import audit, leak_scans, leaks
from lionweb.services.errors import Refused
from lionweb.storable import storable

LONGEST = {"category": 100, "language": 16}


@transaction.atomic
def edit_instruction(
    *, actor: User, instruction: Instruction, text: str, input: str, category: str, language: str
) -> Instruction:
    """The instruction that holds now: a new one where the words differ, else the same with its labels. Raises Refused."""
    labels = {"category": storable(category).strip(), "language": storable(language).strip()}
    _check_labels(labels)
    words = clean_text(text, input)
    if words.content_hash == instruction.content_hash:
        return _label(actor, instruction, labels)
    check_text(words)
    try:
        with transaction.atomic():
            new = Instruction.objects.create(
                text=words.text,
                input=words.input,
                content_hash=words.content_hash,
                edited_from=instruction,
                edited_by=actor,
                **labels,
            )
    except IntegrityError as error:
        known = Instruction.objects.get(content_hash=words.content_hash)
        raise Refused(
            f"This is instruction {known.pk} word for word.", "Use that one, or write something else."
        ) from error
    moved = PoolEntry.objects.filter(instruction=instruction).update(instruction=new)
    _check_leaks(instruction, new)
    audit.record(actor=actor, action="instruction.edit", target=instruction, into=new.pk, pools=moved)
    return new


def _check_leaks(old: Instruction, new: Instruction) -> None:
    leaks.check(instructions=[new])
    if LeakHit.objects.filter(instruction__in=(old, new)).exists():
        for pool in Pool.objects.filter(entries__instruction=new, leak_count__isnull=False).order_by("pk"):
            leak_scans.count_leaks(pool=pool)


def clean_text(text: str, given: str) -> Text:
    """What a person typed as it can be kept."""
    return Text(*(storable(part).replace("\r\n", "\n").strip() for part in (text, given)))


def check_text(words: Text) -> None:
    """Raises Refused for what is no instruction, or too long for one."""
    if not any(character.isalnum() for character in words.text):
        raise Refused("An instruction needs a text.", "Write one, or delete the instruction.")
    length, most = len(words.text) + len(words.input), settings.INSTRUCTION_MAX_CHARACTERS
    if length > most:
        raise Refused(f"The instruction is {length:,} characters long.", f"At most {most:,} are accepted.")


def _check_labels(labels: dict[str, str]) -> None:
    for name, value in labels.items():
        if len(value) > LONGEST[name]:
            raise Refused(f"The {name} is longer than {LONGEST[name]} characters.", "Choose a shorter one.")


def _label(actor: User, instruction: Instruction, labels: dict[str, str]) -> Instruction:
    row = Instruction.objects.select_for_update(no_key=True).get(pk=instruction.pk)
    before = {name: getattr(row, name) for name in labels if getattr(row, name) != labels[name]}
    if before:
        Instruction.objects.filter(pk=row.pk).update(**labels)
        after = {name: labels[name] for name in before}
        audit.record(actor=actor, action="instruction.label", target=row, before=before, after=after)
    row.refresh_from_db()
    return row


@transaction.atomic
def delete_instruction(*, actor: User, instruction: Instruction) -> None:
    """Hides it from lists and draws it into no further pool; experiments that have it keep it."""
    now = timezone.now()
    hidden = Instruction.objects.filter(pk=instruction.pk, deleted_at=None).update(deleted_at=now, deleted_by=actor)
    if not hidden:
        raise Refused("The instruction is deleted already.", "Restore it to use it again.")
    audit.record(actor=actor, action="instruction.delete", target=instruction)


@transaction.atomic
def restore_instruction(*, actor: User, instruction: Instruction) -> None:
    hidden = Instruction.objects.filter(pk=instruction.pk, deleted_at__isnull=False)
    if not hidden.update(deleted_at=None, deleted_by=None):
        raise Refused("The instruction is not deleted.", "Load the page again.")
    audit.record(actor=actor, action="instruction.restore", target=instruction)
