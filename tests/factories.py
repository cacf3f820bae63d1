"""Builds rows that look like those of a real experiment. Every function returns saved rows; names are defaults to override."""

import json
import math
import random
from datetime import timedelta
from pathlib import Path

from django.utils import timezone

from distill.fingerprints import referee_name
from distill.records import Instruction as Text
from distill.records import Purpose
from distill.settings import ExperimentSettings, GeneratorSettings, PoolSettings, RefereeSettings
from lionweb.models import (
    AuthorKind,
    Candidate,
    Checkpoint,
    Classification,
    Endpoint,
    Experiment,
    Instruction,
    Iteration,
    MemberPool,
    Membership,
    MemberSource,
    MetricPoint,
    ModelCall,
    Pool,
    PoolEntry,
    PoolKind,
    Response,
    Review,
    Stage,
    StageEvent,
    StageKind,
    StageStatus,
)

SAMPLE = Path(__file__).resolve().parent.parent / "distill" / "data" / "sample_pool.jsonl"
SMALL = ExperimentSettings(
    generator=GeneratorSettings(hard=8, easy=8),
    pools=PoolSettings(train=24, cache=24, heldout=6),
    referee=RefereeSettings(tau=1.0),
)


def make_endpoint(name="Bundled teacher", **changes):
    values = {
        "base_url": "https://api.example.org/v1",
        "model": "teacher-large",
        "input_usd_per_million": 0.5,
        "output_usd_per_million": 1.5,
    }
    return Endpoint.objects.create(name=name, **values | changes)


def make_instructions(count, start=0):
    """Instructions of the sample pool, and numbered ones once that is used up."""
    with SAMPLE.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    made = []
    for number in range(start, start + count):
        row = rows[number] if number < len(rows) else {"instruction": f"Explain point {number} in one sentence."}
        text = Text(row["instruction"], row.get("input", ""), row.get("language", ""), row.get("category", ""))
        made.append(
            Instruction(
                text=text.text,
                input=text.input,
                language=text.language,
                category=text.category,
                content_hash=text.content_hash,
            )
        )
    Instruction.objects.bulk_create(made, ignore_conflicts=True)
    found = {
        one.content_hash: one for one in Instruction.objects.filter(content_hash__in=[m.content_hash for m in made])
    }
    return [found[one.content_hash] for one in made]


def make_pool(name="Sample pool", rows=40, kind=PoolKind.SEED, start=0, **changes):
    pool = Pool.objects.create(name=name, kind=kind, rows=rows, filename="sample_pool.jsonl", **changes)
    entries = (
        PoolEntry(pool=pool, instruction=one, position=place)
        for place, one in enumerate(make_instructions(rows, start), start=1)
    )
    PoolEntry.objects.bulk_create(entries)
    return pool


def make_experiment(owner, name="Small student", settings=SMALL, planned=0, **changes):
    """A draft without iterations, unless `planned` says otherwise."""
    values = {
        "endpoint": changes.pop("endpoint", None) or Endpoint.objects.first() or make_endpoint(),
        "pool": changes.pop("pool", None) or Pool.objects.filter(kind=PoolKind.SEED).first() or make_pool(),
        "settings_json": settings.to_json(),
        "planned_iterations": planned,
    }
    return Experiment.objects.create(owner=owner, name=name, **values | changes)


def make_iteration(experiment, number=1, done=0, current=None, total=24, **fields):
    """An iteration with its seven stages: `done` of them succeeded, the next one in status `current`, the rest pending."""
    if experiment.planned_iterations < number:
        experiment.planned_iterations = number
        experiment.save(update_fields=["planned_iterations"])
    iteration = Iteration.objects.create(experiment=experiment, number=number)
    begun = timezone.now() - timedelta(minutes=4 * (done + 1))
    for position, kind in enumerate(StageKind, start=1):
        status = StageStatus.SUCCEEDED if position <= done else StageStatus.PENDING
        extra = {}
        if current and position == done + 1:
            status, extra = current, fields
        start = begun + timedelta(minutes=4 * (position - 1))
        over = status in (StageStatus.SUCCEEDED, StageStatus.FAILED, StageStatus.CANCELLED)
        values = {
            "done": total if status == StageStatus.SUCCEEDED else 0,
            "total": total,
            "started_at": None if status == StageStatus.PENDING else start,
            "finished_at": start + timedelta(minutes=3, seconds=7 * position) if over else None,
        }
        stage = Stage.objects.create(iteration=iteration, kind=kind, position=position, status=status, **values | extra)
        _events(stage)
    return iteration


def _events(stage):
    if stage.status == StageStatus.PENDING:
        return
    steps = [(StageStatus.PENDING, StageStatus.RUNNING, stage.started_at)]
    if stage.status != StageStatus.RUNNING:
        steps.append((StageStatus.RUNNING, stage.status, stage.finished_at))
    for before, after, at in steps:
        event = StageEvent.objects.create(stage=stage, from_status=before, to_status=after)
        if at:
            StageEvent.objects.filter(pk=event.pk).update(at=at)


def stage_of(iteration, kind):
    return iteration.stages.get(kind=kind)


def add_members(experiment, pool, instructions, since=1, source=MemberSource.SEED, **changes):
    rows = (
        Membership(experiment=experiment, since=since, instruction=one, pool=pool, source=source, **changes)
        for one in instructions
    )
    return Membership.objects.bulk_create(rows)


def add_first_pools(experiment, train=24, heldout=6):
    """Train Pool and Cache Pool of the same instructions, and a held-out set beside them."""
    instructions = make_instructions(train + heldout)
    add_members(experiment, MemberPool.TRAIN, instructions[:train])
    add_members(experiment, MemberPool.CACHE, instructions[:train])
    add_members(experiment, MemberPool.HELDOUT, instructions[train:])
    return instructions[:train], instructions[train:]


def make_checkpoint(iteration, before=3.2, after=1.44, **changes):
    """The student that an iteration trained."""
    metrics = {"heldout_loss_before": before, "heldout_loss_after": after, "heldout_tokens": 812, "seconds": 96.0}
    values = {
        "experiment": iteration.experiment,
        "iteration": iteration,
        "number": iteration.number,
        "path": f"checkpoints/{iteration.pk}",
        "sha256": "ab" * 32,
        "base": "bundled",
        "metrics": metrics,
    }
    return Checkpoint.objects.create(**values | changes)


def make_base(experiment):
    return Checkpoint.objects.create(experiment=experiment, number=0, base="bundled")


def make_response(
    instruction, author="teacher-large@https://api.example.org/v1", checkpoint=None, text=None, **changes
):
    kind = AuthorKind.STUDENT if checkpoint else AuthorKind.TEACHER
    values = {
        "author_kind": kind,
        "author": checkpoint.author if checkpoint else author,
        "sampling_hash": "0" * 16,
        "checkpoint": checkpoint,
        "text": text or f"{kind.label}'s answer to: {instruction.text[:60]}",
        "finish": "stop",
        "prompt_tokens": 34,
        "completion_tokens": 58,
        "cost_usd": 0.0 if checkpoint else 0.0001,
    }
    sampling = {key: values.pop(key) for key in ("author", "sampling_hash")} | {"instruction": instruction}
    return Response.objects.get_or_create(**sampling, defaults=values | changes)[0]


def make_reviews(
    teacher, student, score_teacher, score_student, referee="pairwise:teacher-large@https://api.example.org/v1#0000"
):
    """One review in each order."""
    for order in ("teacher_first", "student_first"):
        Review.objects.create(
            teacher_response=teacher,
            student_response=student,
            order=order,
            referee=referee,
            raw=f"{score_teacher} {score_student}\nThe first answer is more complete.",
            explanation="The first answer is more complete.",
            score_teacher=score_teacher,
            score_student=score_student,
        )


def classify(iteration, checkpoint, instructions, gaps, pool="cache", **changes):
    """Both answers, their reviews and the referee's verdict for each instruction; a gap of None stays unscored."""
    tau = iteration.experiment.settings.referee.tau
    if changes.get("for_review"):
        changes = {"review_state": "pending"} | changes
    made = []
    referee = referee_name(iteration.experiment.settings, iteration.experiment.endpoint.author)
    for instruction, gap in zip(instructions, gaps, strict=False):
        teacher, student = make_response(instruction), make_response(instruction, checkpoint=checkpoint)
        top = None if gap is None else min(10.0, max(1.0, 8.0 + min(0.0, gap)))
        low = None if gap is None else min(10.0, max(1.0, top - gap))
        make_reviews(teacher, student, top, low, referee)
        made.append(
            Classification(
                iteration=iteration,
                checkpoint=checkpoint,
                instruction=instruction,
                pool=pool,
                teacher_response=teacher,
                student_response=student,
                score_teacher=top,
                score_student=low,
                gap=gap,
                referee_verdict="unscored" if gap is None else "hard" if gap >= tau else "easy",
                **changes,
            )
        )
    return Classification.objects.bulk_create(made)


def queue_up(rows, **changes):
    """Set classifications aside for review, in the order of their ids."""
    for place, row in enumerate(rows.order_by("pk")):
        values = {"for_review": True, "review_state": "pending", "queue_rank": place} | changes
        type(row).objects.filter(pk=row.pk).update(**values)


def add_candidates(iteration, parents, accepted=10, rejected=None):
    """Replies of the generator: `accepted` that became instructions, and so many rejected for each reason."""
    new = make_instructions(accepted, start=400 + 100 * iteration.number)
    rows = []
    for place, instruction in enumerate(new):
        rows.append(
            _candidate(iteration, f"a{place}", parents[place % len(parents)], instruction=instruction, rouge_l=0.31)
        )
    for reason, count in (rejected or {"near_duplicate": 4, "refusal": 1}).items():
        for place in range(count):
            rows.append(
                _candidate(
                    iteration, f"{reason[:20]}{place}", parents[place % len(parents)], rejected=reason, rouge_l=0.82
                )
            )
    Candidate.objects.bulk_create(rows)
    return new


def link_members(iteration):
    """Members name the candidate that they come from."""
    for candidate in iteration.candidates.filter(rejected=""):
        members = Membership.objects.filter(experiment=iteration.experiment, since=iteration.number + 1)
        members.filter(instruction=candidate.instruction).update(candidate=candidate, similarity=candidate.rouge_l)


def _candidate(iteration, key, parent, instruction=None, **values):
    difficulty = "hard" if len(key) % 2 else "easy"
    raw = instruction.text if instruction else "A reply that was not kept"
    return Candidate(
        iteration=iteration, key=key, difficulty=difficulty, parent=parent, raw=raw, round=1, finish="stop", judged=True,
        instruction=instruction, **values,
    )  # fmt: skip


def add_metrics(stage, steps=60, first=3.1, last=1.3, seed=0):
    """A training curve with noise: loss, learning rate, tokens per second, memory and gradient norm."""
    noise = random.Random(seed)
    rows = []
    for step in range(1, steps + 1):
        share = step / steps
        values = {
            "loss": last + (first - last) * math.exp(-3.2 * share) + noise.gauss(0, 0.09),
            "learning_rate": 1e-3 * min(step / 4, 0.5 * (1 + math.cos(math.pi * share))),
            "tokens_per_second": 326 + noise.gauss(0, 9),
            "memory_bytes": 2.1e9 + 2e8 * min(1, share * 3) + noise.gauss(0, 1e7),
            "grad_norm": 0.8 + noise.random() * 0.4,
        }
        rows += [MetricPoint(stage=stage, name=name, step=step, value=value) for name, value in values.items()]
    MetricPoint.objects.bulk_create(rows)


def add_calls(stage, count=24, purpose=Purpose.ANSWER, cost_usd=0.0002, outcome="ok", paid=True):
    experiment = stage.iteration.experiment
    ModelCall.objects.bulk_create(
        ModelCall(
            endpoint=experiment.endpoint,
            experiment=experiment,
            stage=stage,
            purpose=purpose,
            outcome=outcome,
            paid=paid,
            prompt_tokens=40 if paid else 0,
            completion_tokens=70 if paid else 0,
            cost_usd=cost_usd if paid else 0,
            latency_seconds=0.4,
        )
        for _ in range(count)
    )


def finish_iteration(experiment, number=1, hard=9, easy=13, unscored=2):
    """A whole iteration that succeeded, with training curve, checkpoint, verdicts, new instructions and paid calls."""
    iteration = make_iteration(experiment, number=number, done=7)
    cache, heldout = (
        add_first_pools(experiment) if number == 1 else (make_instructions(24), make_instructions(6, start=24))
    )
    base = experiment.checkpoints.filter(number=0).first() or make_base(experiment)
    before = 3.2 if number == 1 else 1.44 - 0.1 * (number - 2)
    checkpoint = make_checkpoint(iteration, before=before, after=1.44 - 0.1 * (number - 1))
    add_metrics(stage_of(iteration, StageKind.TRAIN), first=before, last=1.3 - 0.1 * (number - 1), seed=number)
    noise = random.Random(number)
    gaps = [1.05 + noise.random() * 3 for _ in range(hard)] + [noise.gauss(0.1, 0.4) for _ in range(easy)]
    gaps = [min(gap, 0.95) if place >= hard else gap for place, gap in enumerate(gaps)]
    classify(iteration, checkpoint, cache, [*gaps, *[None] * unscored])
    if number == 1:
        classify(iteration, base, heldout, [2.6 + noise.gauss(0, 0.3) for _ in heldout], pool="heldout")
    classify(iteration, checkpoint, heldout, [1.4 / number + noise.gauss(0, 0.2) for _ in heldout], pool="heldout")
    new = add_candidates(iteration, cache, accepted=16)
    for pool in (MemberPool.TRAIN, MemberPool.CACHE):
        add_members(experiment, pool, new[:8], since=number + 1, source=MemberSource.HARD, parent=cache[0])
        add_members(experiment, pool, new[8:], since=number + 1, source=MemberSource.EASY, parent=cache[-1])
    link_members(iteration)
    add_calls(stage_of(iteration, StageKind.ANSWER), 30)
    add_calls(stage_of(iteration, StageKind.JUDGE), 60, Purpose.REVIEW)
    add_calls(stage_of(iteration, StageKind.GENERATE), 21, Purpose.GENERATE)
    iteration.finished_at = timezone.now()
    iteration.save(update_fields=["finished_at"])
    return iteration
