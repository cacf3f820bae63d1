"""Responses of teacher and students, found by who gave them, how they were drawn, and to what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from distill.loop.journal import Journal
from distill.records import Completion, Finish, Instruction
from distill.replies import storable


@dataclass(frozen=True)
class Response:
    text: str
    finish: Finish


class Responses:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._found = {
            (row["author"], row["sampling"], row["content_hash"]): Response(row["text"], Finish(row["finish"]))
            for row in journal.rows
        }

    def get(self, author: str, sampling: str, instruction: Instruction) -> Response | None:
        return self._found.get((author, sampling, instruction.content_hash))

    def lacking(self, author: str, sampling: str, instructions: Iterable[Instruction]) -> list[Instruction]:
        return [one for one in instructions if self.get(author, sampling, one) is None]

    def keep(self, author: str, sampling: str, instruction: Instruction, done: Completion) -> None:
        text = storable(done.text)
        self._journal.append(
            {
                "content_hash": instruction.content_hash,
                "author": author,
                "sampling": sampling,
                "instruction": instruction.text,
                "input": instruction.input,
                "text": text,
                "finish": done.finish,
                "prompt_tokens": done.prompt_tokens,
                "completion_tokens": done.completion_tokens,
                "cost_usd": done.cost_usd,
            }
        )
        self._found[author, sampling, instruction.content_hash] = Response(text, done.finish)
