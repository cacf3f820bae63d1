"""Ratios for the plan, measured where anything was measured: at this endpoint, else at others of the same model.

What was never measured gets a careful default with a wide range, and says so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from statistics import fmean
from typing import Any

from django.db.models import Avg, Count, Q, QuerySet, StdDev
from django.db.models.functions import Length

from distill.generator import generate_request
from distill.records import ChatRequest, Difficulty, Pair, Purpose
from distill.records import Instruction as EngineInstruction
from distill.referee_modes import CALL_MODES, MODE_OF_ORDER
from distill.settings import ExperimentSettings
from distill.teacher import answer_fingerprint, answer_request
from lionweb.models import AuthorKind, Candidate, Endpoint, Instruction, Iteration, ModelCall, Response, Review
from lionweb.plan import CallRatios, Prompts, Range, Ratios
from lionweb.stages.answers import engine_instruction

FEWEST = 5
"""Calls of a purpose from which a mean is taken at all."""
SAMPLE = 400
CLOSEST = 0.05  # a measured mean is never trusted more than this
COMPLETED = ("ok", "length", "truncated", "empty")
TOKENS_PER_CHARACTER = Range(0.18, 0.27, 0.5)
CHARACTERS_PER_TOKEN = 4.0
DEFAULT_REPLY = {"answer": Range(80, 300, 900), "review": Range(60, 180, 450), "generate": Range(25, 70, 220)}
DEFAULT_SECONDS = {"answer": Range(1, 5, 20), "review": Range(1, 4, 15), "generate": Range(0.5, 2, 8)}
DEFAULT_CALLS = {"answer": Range(1, 1.01, 1.1), "review": Range(1, 1.03, 1.3), "generate": Range(1, 1.4, 4)}


def measure(
    settings: ExperimentSettings, endpoint: Endpoint, sample: Sequence[Instruction], as_of: datetime | None = None
) -> Ratios:
    """as_of: only what was measured before it counts."""
    here = _Measured(settings, endpoint, (endpoint,), "endpoint", as_of)
    same_model = Endpoint.objects.filter(model=endpoint.model)
    there = _Measured(settings, endpoint, tuple(same_model), "model", as_of)
    chosen = {
        purpose: next((one for one in (here, there) if one.calls(purpose) >= FEWEST), None) for purpose in DEFAULT_REPLY
    }
    made = next((one for one in (here, there) if one.kept_share is not None), None)
    return Ratios(
        answer=_ratios("answer", chosen["answer"], settings.teacher.max_tokens),
        review=_ratios("review", chosen["review"], settings.referee.max_tokens),
        generate=_ratios("generate", chosen["generate"], settings.generator.max_tokens),
        prompts=_prompts(settings, endpoint, sample, chosen),
        kept_share=(made.kept_share if made else None) or Range(0.6, 1, 1),
    )


class _Measured:
    """What the ledger and the results of some endpoints say."""

    def __init__(
        self,
        settings: ExperimentSettings,
        endpoint: Endpoint,
        endpoints: tuple[Endpoint, ...],
        source: str,
        as_of: datetime | None,
    ) -> None:
        self.settings, self.endpoint, self.endpoints = settings, endpoint, endpoints
        self.source, self.as_of = source, as_of

    @cached_property
    def _sums(self) -> dict[str, Any]:
        rows: Any = self._ledger().order_by().values("purpose")
        return {
            row["purpose"]: row
            for row in rows.annotate(
                count=Count("pk"),
                done=Count("pk", filter=Q(outcome__in=COMPLETED)),
                written=Avg("completion_tokens", filter=Q(outcome__in=COMPLETED)),
                written_sd=StdDev("completion_tokens", filter=Q(outcome__in=COMPLETED)),
                read=Avg("prompt_tokens", filter=Q(outcome="ok")),
                seconds=Avg("latency_seconds", filter=Q(outcome__in=COMPLETED)),
            )
        }

    def _ledger(self) -> QuerySet[ModelCall]:
        calls = ModelCall.objects.filter(endpoint__in=self.endpoints, paid=True)
        return calls.filter(at__lt=self.as_of) if self.as_of else calls

    def calls(self, purpose: str) -> int:
        return int(self._sums.get(purpose, {}).get("done", 0))

    def mean(self, purpose: str, what: str) -> float:
        return float(self._sums[purpose][what] or 0.0)

    def calls_per_item(self, purpose: str) -> Range:
        """Losses that were paid, re-asks, rejected candidates; below 1 where two students said the same."""
        items = {
            "answer": lambda: self.mean("answer", "done"),
            "review": self._reviews_needed,
            "generate": lambda: float(self._kept()),
        }[purpose]()
        value = self.mean(purpose, "count") / items if items else 1.0
        return Range(value * (1 - CLOSEST), value, value * (1 + CLOSEST) + (1 / max(items, 1)))

    def _iterations(self) -> QuerySet[Iteration]:
        found = Iteration.objects.filter(experiment__endpoint__in=self.endpoints, finished_at__isnull=False)
        return found.filter(finished_at__lt=self.as_of) if self.as_of else found

    def _reviews_needed(self) -> float:
        """By the pairs of the iterations that paid for their reviews, each in every order of its mode."""
        paid = self._ledger().filter(purpose=Purpose.REVIEW).values("stage__iteration")
        judged = Iteration.objects.filter(pk__in=paid).select_related("experiment")
        needed = sum(one.pairs * _reviews_of_a_pair(one) for one in judged.annotate(pairs=Count("classifications")))
        return float(needed or self.calls("review"))

    def _kept(self) -> int:
        paid = self._ledger().filter(purpose=Purpose.GENERATE).values("stage__iteration")
        kept = Candidate.objects.filter(iteration__in=paid, judged=True, rejected="")
        return kept.count()

    @cached_property
    def kept_share(self) -> Range | None:
        shares = []
        for iteration in self._iterations().select_related("experiment").order_by("-pk")[:20]:
            wanted = iteration.experiment.settings.generator
            kept = iteration.candidates.filter(judged=True, rejected="").count()
            if wanted.hard + wanted.easy and kept:
                shares.append(min(1.0, kept / (wanted.hard + wanted.easy)))
        return Range(min(shares), fmean(shares), 1.0) if shares else None

    # ---- characters, as the engine's own prompts have them

    def answers(self) -> list[Response]:
        """With the same settings where there are any: then even the system prompt is the same."""
        authors = [one.author for one in self.endpoints]
        found = Response.objects.filter(author__in=authors, prompt_tokens__gt=0).select_related("instruction")
        found = found.filter(created_at__lt=self.as_of) if self.as_of else found
        same = found.filter(sampling_hash=answer_fingerprint(self.settings.teacher))
        return list((same if same.exists() else found).order_by("-pk")[:SAMPLE])

    def reviews(self) -> list[Review]:
        authors = [one.author for one in self.endpoints]
        found = Review.objects.filter(teacher_response__author__in=authors, order__in=MODE_OF_ORDER)
        found = found.filter(created_at__lt=self.as_of) if self.as_of else found
        related = ("teacher_response", "student_response", "teacher_response__instruction")
        return list(found.select_related(*related).order_by("-pk")[:SAMPLE])

    def candidates(self) -> list[Candidate]:
        found = Candidate.objects.filter(iteration__experiment__endpoint__in=self.endpoints)
        found = found.filter(created_at__lt=self.as_of) if self.as_of else found
        return list(found.select_related("parent", "instruction").order_by("-pk")[:SAMPLE])


def _reviews_of_a_pair(iteration: Iteration) -> float:
    referee = iteration.experiment.settings.referee
    mode = referee.mode
    if mode == "single":  # the teacher's responses are scored once, when they are new
        return 2 if iteration.number == 1 else 1
    return len(CALL_MODES[mode].orders) * (1 + referee.stability_percent / 100) if mode in CALL_MODES else 0


def _ratios(purpose: str, measured: _Measured | None, max_tokens: int) -> CallRatios:
    if measured is None:
        reply = DEFAULT_REPLY[purpose].at_most(max_tokens)
        return CallRatios("default", 0, DEFAULT_CALLS[purpose], reply, DEFAULT_SECONDS[purpose])
    count = measured.calls(purpose)
    written = _around(measured.mean(purpose, "written"), measured.mean(purpose, "written_sd"), count)
    seconds = measured.mean(purpose, "seconds")
    return CallRatios(
        measured.source,
        count,
        measured.calls_per_item(purpose),
        written.at_most(max_tokens),
        Range(0.7 * seconds, seconds, 1.6 * seconds),
    )


def _around(mean: float, deviation: float, count: int) -> Range:
    """The mean, give or take twice its standard error."""
    half = max(CLOSEST * mean, 2 * deviation / max(count, 1) ** 0.5)
    return Range(max(0.0, mean - half), mean, mean + half)


@dataclass(frozen=True)
class _Lengths:
    """Mean characters of what a review shows."""

    teacher: Range
    student: Range


def _prompts(
    settings: ExperimentSettings,
    endpoint: Endpoint,
    sample: Sequence[Instruction],
    chosen: dict[str, _Measured | None],
) -> Prompts:
    structured = settings.referee.structured_output == "on" or (
        settings.referee.structured_output == "auto" and bool(endpoint.supports_json_schema)
    )
    first = [engine_instruction(row) for row in sample]
    made = chosen["generate"].candidates() if chosen["generate"] else []
    new = [engine_instruction(row.instruction) for row in made if row.instruction] or first
    density = {purpose: _density(purpose, one, settings, structured) for purpose, one in chosen.items()}
    lengths = _lengths(settings, chosen)

    def answer(rows: Sequence[EngineInstruction]) -> Range:
        return density["answer"] * _mean(characters(answer_request("", row, settings.teacher)) for row in rows)

    def review(rows: Sequence[EngineInstruction]) -> Range:
        mode = CALL_MODES.get(settings.referee.mode)
        if mode is None:
            return Range.exactly(0)
        bare = _mean(
            characters(mode.request("", Pair("", row, "x", "x"), mode.orders[0], settings.referee, structured, 0))
            for row in rows
        )
        if settings.referee.mode == "single":  # one response a call, of the two in turn
            return density["review"] * (Range.exactly(bare - 1) + (lengths.teacher + lengths.student) * 0.5)
        return density["review"] * (Range.exactly(bare - 2) + lengths.teacher + lengths.student)

    def generate(rows: Sequence[EngineInstruction]) -> Range:
        return density["generate"] * _mean(
            characters(generate_request("", kind, row, settings.generator, attempt=0))
            for row in rows
            for kind in Difficulty
        )

    return Prompts(answer(first), answer(new), review(first), review(new), generate([*first, *new]))


def characters(request: ChatRequest) -> int:
    return sum(len(message["content"]) for message in request.messages)


def _mean(values: Iterable[int]) -> float:
    found = list(values)
    return fmean(found) if found else 0.0


def _density(purpose: str, measured: _Measured | None, settings: ExperimentSettings, structured: bool) -> Range:
    """Prompt tokens per character of the rendered messages."""
    if measured is None:
        return TOKENS_PER_CHARACTER
    if purpose == "answer":
        rows = measured.answers()
        read = _mean(row.prompt_tokens for row in rows)
        shown = _mean(
            characters(answer_request("", engine_instruction(row.instruction), settings.teacher)) for row in rows
        )
    elif purpose == "review":
        read = measured.mean("review", "read")
        shown = _mean(_shown_in(review, settings, structured) for review in measured.reviews())
    else:
        read = measured.mean("generate", "read")
        shown = _mean(
            characters(
                generate_request(
                    "", Difficulty(c.difficulty), engine_instruction(c.parent), settings.generator, attempt=0
                )
            )
            for c in measured.candidates()
        )
    return _close(read / shown) if read and shown else TOKENS_PER_CHARACTER


def _shown_in(review: Review, settings: ExperimentSettings, structured: bool) -> int:
    teacher, student = review.teacher_response, review.student_response
    pair = Pair("", engine_instruction(teacher.instruction), teacher.text, student.text)
    request = CALL_MODES[MODE_OF_ORDER[review.order]].request
    return characters(request("", pair, review.order, settings.referee, structured, 0))


def _close(value: float) -> Range:
    return Range(value * (1 - CLOSEST), value, value * (1 + CLOSEST))


def _lengths(settings: ExperimentSettings, chosen: dict[str, _Measured | None]) -> _Lengths:
    """Of the teacher from its stored answers; of the student from students of the same base, else as long as it may be."""
    answers = chosen["answer"].answers() if chosen["answer"] else []
    teacher = _close(_mean(len(row.text) for row in answers)) if answers else _by_tokens(DEFAULT_REPLY["answer"])
    found = Response.objects.filter(author_kind=AuthorKind.STUDENT, checkpoint__base=settings.student.base)
    as_of = next((one.as_of for one in chosen.values() if one), None)
    found = found.filter(created_at__lt=as_of) if as_of else found
    limit = settings.student.max_new_tokens
    recent = found.order_by("-pk")[:SAMPLE].values_list(Length("text"), "completion_tokens")
    lengths = [length * min(1.0, limit / max(tokens, 1)) for length, tokens in recent]
    if len(lengths) >= FEWEST:
        return _Lengths(teacher, _close(fmean(lengths)))
    return _Lengths(teacher, _by_tokens(Range(0.1 * limit, 0.5 * limit, limit)))


def _by_tokens(tokens: Range) -> Range:
    return tokens * CHARACTERS_PER_TOKEN
