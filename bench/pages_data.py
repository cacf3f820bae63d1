"""A database as large as twenty papers: instructions, responses, and an experiment with verdicts and reviews."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import connection
from django.db.backends.utils import CursorWrapper

from distill.settings import ExperimentSettings
from lionweb.models import Checkpoint, Endpoint, Experiment, Iteration, Pool, Role, User

PASSWORD = "bench-password"
REVIEWERS = 20
CATEGORIES = [f"category {number}" for number in range(60)]
LANGUAGES = ["en"] * 14 + ["de", "fr", "es", "zh", "ar", ""]
VOCABULARY = 80_000
RARE, RARE_EVERY = "quokkazebra", 100_000
COMMON = "common0"
BLOCK = 5_000
"""Rows whose words are drawn together."""


@dataclass(frozen=True)
class Sizes:
    instructions: int = 1_000_000
    judged: int = 200_000

    @property
    def responses(self) -> int:
        return 2 * self.instructions


def build(sizes: Sizes, seed: int = 0) -> Experiment:
    """Fill a migrated database in which nothing was done yet. Takes minutes."""
    _people()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE lionweb_instruction RESTART IDENTITY CASCADE")  # the sample pool
        cursor.execute("DELETE FROM lionweb_pool")
        cursor.execute("DELETE FROM lionweb_newwords")
        cursor.execute("SET synchronous_commit = off; SET maintenance_work_mem = '512MB'; SET work_mem = '256MB'")
        cursor.execute("SET session_replication_role = replica")  # the rows refer to each other rightly by construction
        indexes = _drop_indexes(cursor)
        _instructions(cursor, sizes, random.Random(seed))
        for statement in indexes:
            cursor.execute(statement)
        experiment = _experiment()
        _rows(cursor, sizes, experiment)
        cursor.execute("SET session_replication_role = origin")
        cursor.execute("RESET ALL")
        cursor.execute("VACUUM ANALYZE")
    return experiment


def _people() -> None:
    hashed = make_password(PASSWORD)
    roles = [("reader", Role.RESEARCHER), *((f"reviewer{number}", Role.ANNOTATOR) for number in range(REVIEWERS))]
    User.objects.bulk_create(User(username=name, password=hashed, role=role) for name, role in roles)


def _drop_indexes(cursor: CursorWrapper) -> list[str]:
    """Drop what is quicker to make once the rows are there, and return how it is made."""
    names = (
        "instruction_text",
        "instruction_category",
        "instruction_language",
        "instruction_length",
    )
    cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = ANY(%s)", [list(names)])
    statements = [row[0] for row in cursor.fetchall()]
    for name in names:
        cursor.execute(f"DROP INDEX {name}")
    return statements


def _instructions(cursor: CursorWrapper, sizes: Sizes, rng: random.Random) -> None:
    columns = "id, text, input, language, category, content_hash, created_at"
    with cursor.copy(f"COPY lionweb_instruction ({columns}) FROM STDIN") as copy:
        for row in _texts(sizes.instructions, rng):
            copy.write_row(row)
    cursor.execute("SELECT setval('lionweb_instruction_id_seq', %s)", [sizes.instructions])


def _texts(count: int, rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Words by Zipf's law, lengths as in Alpaca's file: a third with an input, some with very long ones."""
    words = [f"common{n}" if n < 20 else f"{_spelt(n)}" for n in range(VOCABULARY)]
    weights = list(itertools.accumulate(1 / (n + 2.7) for n in range(VOCABULARY)))
    for start in range(1, count + 1, BLOCK):
        drawn = iter(rng.choices(words, cum_weights=weights, k=BLOCK * 60))
        for number in range(start, min(start + BLOCK, count + 1)):
            text = " ".join(itertools.islice(drawn, min(60, 4 + int(rng.expovariate(1 / 9)))))
            text += f" {RARE}" if number % RARE_EVERY == 7 else ""
            given = " ".join(itertools.islice(drawn, 20)) if number % 3 == 0 else ""
            given = given * 20 if number % 3000 == 0 else given
            text = f"{text} {number}"
            digest = hashlib.sha256(f"{text}\x1f{given}".encode()).hexdigest()
            category = CATEGORIES[int(rng.paretovariate(0.7)) % len(CATEGORIES)]
            yield number, text, given, LANGUAGES[number % len(LANGUAGES)], category, digest, "2026-01-01"


def _spelt(number: int) -> str:
    """A pronounceable word for a number."""
    letters = ""
    while number:
        number, rest = divmod(number, 70)
        letters += "bdfghklmnprstv"[rest % 14] + "aeiou"[rest // 14]
    return letters


def _experiment() -> Experiment:
    owner = User.objects.get(username="reader")
    endpoint = Endpoint.objects.create(name="Bench", base_url="http://127.0.0.1:9/v1", model="teacher")
    experiment = Experiment.objects.create(
        name="Bench",
        owner=owner,
        endpoint=endpoint,
        pool=Pool.objects.create(name="Bench", rows=0),
        settings_json=ExperimentSettings().to_json(),
        planned_iterations=1,
    )
    iteration = Iteration.objects.create(experiment=experiment, number=1)
    Checkpoint.objects.create(experiment=experiment, number=0, base="bundled")
    Checkpoint.objects.create(experiment=experiment, iteration=iteration, number=1, base="bundled", path="x")
    return experiment


_ROWS = """
    INSERT INTO lionweb_instructionwords (instruction_id, words) SELECT id, lionweb_words(text, input)
    FROM lionweb_instruction ORDER BY id;
    INSERT INTO lionweb_newwords (first, last) VALUES (1, %(instructions)s);
    INSERT INTO lionweb_poolentry (pool_id, instruction_id, position) SELECT %(pool)s, id, id FROM lionweb_instruction;
    UPDATE lionweb_pool SET rows = %(instructions)s WHERE id = %(pool)s;
    INSERT INTO lionweb_response (id, instruction_id, author_kind, author, sampling_hash, checkpoint_id, text, finish,
        prompt_tokens, completion_tokens, cost_usd, created_at)
    SELECT id * 2 - 1, id, 'teacher', 'teacher@http://127.0.0.1:9/v1', '0000000000000000', NULL,
        'Answer of the teacher. ' || text || ' ' || text, 'stop', 30, 60, 0.0001, now() FROM lionweb_instruction;
    INSERT INTO lionweb_response (id, instruction_id, author_kind, author, sampling_hash, checkpoint_id, text, finish,
        prompt_tokens, completion_tokens, cost_usd, created_at)
    SELECT id * 2, id, 'student', 'checkpoint:' || %(checkpoint)s, '0000000000000000', %(checkpoint)s,
        'Answer of the student. ' || text, 'stop', 30, 60, 0, now() FROM lionweb_instruction;
    SELECT setval('lionweb_response_id_seq', 2 * %(instructions)s);
    INSERT INTO lionweb_membership (experiment_id, since, instruction_id, pool, source, approval)
    SELECT %(experiment)s, 1, id, pool, CASE id %% 3 WHEN 0 THEN 'hard' WHEN 1 THEN 'easy' ELSE 'seed' END, 'approved'
    FROM lionweb_instruction, (VALUES ('cache'), ('train')) AS pools (pool) WHERE id %% %(every)s = 0;
    INSERT INTO lionweb_review (teacher_response_id, student_response_id, "order", referee, attempt, raw, explanation,
        score_teacher, score_student, cost_usd, created_at)
    SELECT id * 2 - 1, id * 2, 'none', 'likelihood:bundled', 0, '', '', 1 + 9 * random(), 1 + 9 * random(), 0, now()
    FROM lionweb_instruction WHERE id %% %(every)s = 0 ORDER BY id;
    INSERT INTO lionweb_classification (iteration_id, checkpoint_id, instruction_id, pool, teacher_response_id,
        student_response_id, score_teacher, score_student, gap, flipped, referee_verdict, person_reason, person_kind,
        for_review, audit_slice, review_state, queue_rank, opinions_needed, opinions)
    SELECT %(iteration)s, %(checkpoint)s, id, 'cache', id * 2 - 1, id * 2, teacher, student, gap, id %% 11 = 0,
        CASE WHEN gap IS NULL THEN 'unscored' WHEN gap >= 1 THEN 'hard' ELSE 'easy' END, '', '',
        gap IS NULL OR gap >= 1, id %% 37 = 0, CASE WHEN gap IS NULL OR gap >= 1 THEN 'pending' ELSE '' END,
        abs(coalesce(gap, 0) - 1), 1, 0
    FROM (SELECT id, teacher, student, CASE WHEN id %% 97 <> 0 THEN teacher - student END AS gap FROM (
        SELECT r.student_response_id / 2 AS id, r.score_teacher AS teacher, r.score_student AS student
        FROM lionweb_review r) AS scored) AS judged ORDER BY id;
    UPDATE lionweb_classification SET person_verdict = 'easy', person_kind = 'easy', person_id = %(person)s,
        person_at = now(), review_state = 'overridden', opinions = 1
    WHERE iteration_id = %(iteration)s AND for_review AND instruction_id %% 1000 = 0;
    INSERT INTO lionweb_decision (classification_id, person_id, kind, comment, is_resolution, created_at)
    SELECT id, %(person)s, 'easy', '', false, now() FROM lionweb_classification WHERE person_verdict = 'easy'
"""


def _rows(cursor: CursorWrapper, sizes: Sizes, experiment: Experiment) -> None:
    values = {
        "experiment": experiment.pk,
        "pool": experiment.pool_id,
        "iteration": experiment.iterations.get().pk,
        "checkpoint": experiment.checkpoints.get(number=1).pk,
        "person": User.objects.get(username="reviewer0").pk,
        "instructions": sizes.instructions,
        "every": max(1, sizes.instructions // sizes.judged),
    }
    for statement in _ROWS.split(";\n"):
        cursor.execute(statement, values)
