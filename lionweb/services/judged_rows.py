"""Judged pairs on their way into the database: instructions, both answers, reviews and verdicts."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from distill.discrimination import Judgement, judge
from distill.fingerprints import referee_name, student_fingerprint
from distill.judged_pairs import JudgedPair, preference_gap
from distill.pool_source import OnProblem, PoolProblem
from distill.records import Finish, Verdict
from distill.records import Review as EngineReview
from distill.teacher import answer_fingerprint
from lionweb.models import (
    AuthorKind,
    Classification,
    Instruction,
    Iteration,
    MemberPool,
    Membership,
    PoolEntry,
    Response,
    Review,
)
from lionweb.stages.review_queue import queue_up, topics_queued

BATCH = 1000


@dataclass
class _Known:
    """An instruction of this import: where it stood first, the answers it came with, and what was said of them."""

    line: int
    answers: bytes
    said: set[bytes] = field(default_factory=set)
    asked: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    preferences: list[float] = field(default_factory=list)


class JudgedRows:
    """Rows of one import, written in batches. Call `finish` at the end."""

    def __init__(self, iteration: Iteration, on_problem: OnProblem) -> None:
        self.iteration, self.experiment = iteration, iteration.experiment
        self.settings = self.experiment.settings
        self.referee = referee_name(self.settings, self.experiment.endpoint.author)
        self.on_problem = on_problem
        self.judgements = 0
        self._known: dict[str, _Known] = {}
        self._waiting: list[tuple[JudgedPair, int]] = []  # with the number of the attempt
        self._stored: dict[str, tuple[int, int]] = {}  # content hash: teacher and student response

    @property
    def instructions(self) -> int:
        return len(self._known)

    def add(self, line: int, pair: JudgedPair) -> None:
        """A judgement that came before, word for word, is passed over."""
        answers = _digest(pair.teacher.text, pair.student.text)
        known = self._known.setdefault(pair.instruction.content_hash, _Known(line, answers))
        if known.answers != answers:
            said = f"The instruction stands in line {known.line} with other answers; one answer of each model is taken."
            self.on_problem(PoolProblem(line, said, "other_answers"))
            return
        said_now = _digest(pair.review.order, pair.review.raw, pair.judge)
        if said_now in known.said:
            self.on_problem(PoolProblem(line, "The judgement came before.", "duplicate"))
            return
        known.said.add(said_now)
        known.preferences += [] if pair.preference is None else [pair.preference]
        self._waiting.append((pair, known.asked[pair.review.order]))
        known.asked[pair.review.order] += 1
        self.judgements += 1
        if len(self._waiting) >= BATCH:
            self._store()

    def finish(self) -> None:
        self._store()
        hashes, topics = list(self._stored), topics_queued(self.iteration)
        for at in range(0, len(hashes), BATCH):
            rows = self._verdicts(hashes[at : at + BATCH])
            queue_up(rows, self.settings, topics)
            Classification.objects.bulk_create(rows)

    def _store(self) -> None:
        batch, self._waiting = self._waiting, []
        new = {p.instruction.content_hash: p for p, _ in batch if p.instruction.content_hash not in self._stored}
        self._store_answers(list(new.values()))
        Review.objects.bulk_create(self._review(pair, number) for pair, number in batch)

    def _store_answers(self, pairs: Sequence[JudgedPair]) -> None:
        """The instructions that are new to this import, with their places in pool and Cache Pool, and both answers."""
        Instruction.objects.bulk_create((_instruction(pair) for pair in pairs), ignore_conflicts=True)
        hashes = [pair.instruction.content_hash for pair in pairs]
        ids = dict(Instruction.objects.filter(content_hash__in=hashes).values_list("content_hash", "pk"))
        pool, first = self.experiment.pool, len(self._stored)
        PoolEntry.objects.bulk_create(
            PoolEntry(pool=pool, instruction_id=ids[one], position=at) for at, one in enumerate(hashes, first)
        )
        Membership.objects.bulk_create(
            Membership(experiment=self.experiment, since=1, instruction_id=ids[one], pool=MemberPool.CACHE)
            for one in hashes
        )
        teachers = Response.objects.bulk_create(self._answer(p, ids, AuthorKind.TEACHER) for p in pairs)
        students = Response.objects.bulk_create(self._answer(p, ids, AuthorKind.STUDENT) for p in pairs)
        for one, teacher, student in zip(hashes, teachers, students, strict=True):
            self._stored[one] = (teacher.pk, student.pk)

    def _answer(self, pair: JudgedPair, ids: dict[str, int], kind: AuthorKind) -> Response:
        is_student = kind == AuthorKind.STUDENT
        text = (pair.student if is_student else pair.teacher).text
        return Response(
            instruction_id=ids[pair.instruction.content_hash],
            author_kind=kind,
            author=self.iteration.checkpoint.author if is_student else self.experiment.endpoint.author,
            sampling_hash=student_fingerprint(self.settings)
            if is_student
            else answer_fingerprint(self.settings.teacher),
            checkpoint=self.iteration.checkpoint if is_student else None,
            text=text,
            finish=Finish.STOP if text.strip() else Finish.EMPTY,
        )

    def _review(self, pair: JudgedPair, attempt: int) -> Review:
        teacher, student = self._stored[pair.instruction.content_hash]
        return Review(
            teacher_response_id=teacher,
            student_response_id=student,
            order=pair.review.order,
            referee=self.referee,
            attempt=attempt,
            raw=pair.review.raw,
            explanation=pair.review.explanation,
            score_teacher=pair.review.score_teacher,
            score_student=pair.review.score_student,
        )

    def _verdicts(self, hashes: Sequence[str]) -> list[Classification]:
        instructions = {i.content_hash: i for i in Instruction.objects.filter(content_hash__in=hashes)}
        students = [self._stored[one][1] for one in hashes]
        reviews: dict[int, list[EngineReview]] = defaultdict(list)
        for r in Review.objects.filter(student_response__in=students, referee=self.referee).order_by("attempt"):
            reviews[r.student_response_id].append(EngineReview("", r.order, "", r.score_teacher, r.score_student))
        return [self._verdict(one, instructions[one], reviews[self._stored[one][1]]) for one in hashes]

    def _verdict(self, content_hash: str, instruction: Instruction, reviews: list[EngineReview]) -> Classification:
        tau, preferences = self.settings.referee.tau, self._known[content_hash].preferences
        judged = _by_preference(preferences, tau) if preferences else judge(reviews, tau, orders_needed=1)
        teacher, student = self._stored[content_hash]
        return Classification(
            iteration=self.iteration,
            checkpoint=self.iteration.checkpoint,
            instruction=instruction,
            pool=MemberPool.CACHE,
            teacher_response_id=teacher,
            student_response_id=student,
            score_teacher=judged.score_teacher,
            score_student=judged.score_student,
            gap=judged.gap,
            flipped=judged.flipped,
            referee_verdict=judged.verdict,
        )


def _by_preference(preferences: Sequence[float], tau: float) -> Judgement:
    """A gap of probabilities, and no scores: none were given."""
    gap = preference_gap(fmean(preferences))
    return Judgement(None, None, gap, Verdict.HARD if gap >= tau else Verdict.EASY, False)


def _instruction(pair: JudgedPair) -> Instruction:
    one = pair.instruction
    return Instruction(
        text=one.text, input=one.input, language=one.language, category=one.category, content_hash=one.content_hash
    )


def _digest(*parts: str) -> bytes:
    return hashlib.sha256("\x1f".join(parts).encode()).digest()[:16]
