"""Import of pairs that somebody has judged already: a pool, and an experiment whose first iteration stands at its review."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from django.db import connection, transaction

from distill.errors import PoolError
from distill.judged_files import JudgedFile, read_judged
from distill.judged_pairs import JudgedPair
from distill.pool_source import PoolProblem
from distill.settings import ExperimentSettings, GateSettings, GeneratorSettings, PoolSettings, StudentSettings
from lionweb.models import (
    IMPORTED,
    AuditEvent,
    Checkpoint,
    Endpoint,
    Experiment,
    Iteration,
    Pool,
    PoolKind,
    Stage,
    StageKind,
    StageStatus,
    User,
)
from lionweb.services import audit, leak_scans
from lionweb.services.advance import advance
from lionweb.services.errors import Refused
from lionweb.services.evaluations import BadItems
from lionweb.services.judged_rows import JudgedRows
from lionweb.services.pool_rows import one_import_at_a_time
from lionweb.services.pools import KEPT_PROBLEMS, checked_name, reserve
from lionweb.services.transitions import transition

ACTION = "experiment.import_judged"
SCORES_TAU, PREFERENCES_TAU = 1.0, 0.5


class AlreadyImported(Refused):
    """The same judgements make up an experiment that is there."""

    def __init__(self, experiment: Experiment) -> None:
        super().__init__(f"These pairs are there already, as {experiment.name}.", "Nothing was imported again.")
        self.experiment = experiment


@dataclass(frozen=True)
class Wanted:
    """What a person chose. `review` is the policy of the review gate; tau None: 1.0, or 0.5 for preferences."""

    name: str
    owner: User
    teacher: str = ""
    judge: str = ""
    review: str = "sample"
    tau: float | None = None


@transaction.atomic
def import_judged(*, files: Sequence[JudgedFile], wanted: Wanted, max_instruction: int) -> Experiment:
    """All judgements of the files, or none.

    Raises:
        BadItems: a row cannot be used.
        PoolError: the files cannot be read at all.
        AlreadyImported: the same judgements were imported before, under whatever name.
        Refused: the name is taken.
    """
    problems = _Problems()
    pairs = read_judged(files, on_problem=problems.note, teacher=wanted.teacher, max_instruction=max_instruction)
    line, first = next(pairs, (0, None))
    if first is None:
        problems.raise_if_any()
        raise PoolError("The files hold no judgement.", "Give at least one pair.")
    filename = ", ".join(one.name for one in files).replace("\x00", "")
    pool = reserve(checked_name(wanted.name, PoolKind.SEED), PoolKind.SEED, filename, wanted.owner)
    experiment = _experiment(wanted, pool, first)
    iteration = _iteration(experiment, first.student.model)
    with connection.cursor() as cursor:
        one_import_at_a_time(cursor)
    rows = JudgedRows(iteration, problems.note)
    rows.add(line, first)
    problems.remark(line, first)
    digest = _Digest(first)
    for line, pair in pairs:
        if not problems.count:  # nothing is kept otherwise; the rest is read for further problems
            rows.add(line, pair)
            digest.add(pair)
            problems.remark(line, pair)
    rows.finish()
    problems.raise_if_any()
    _refuse_second(digest.hex)
    pool.rows, pool.problems = rows.instructions, [asdict(one) for one in problems.remarks]
    pool.save(update_fields=["rows", "problems"])
    audit.record(
        actor=wanted.owner,
        action=ACTION,
        target=experiment,
        name=experiment.name,
        rows=rows.judgements,
        digest=digest.hex,
    )
    _close_stages(iteration, rows.instructions)
    leak_scans.ask(pool=pool)
    transaction.on_commit(lambda: advance(iteration.pk))
    return experiment


class _Problems:
    def __init__(self) -> None:
        self.kept: list[PoolProblem] = []
        self.remarks: list[PoolProblem] = []
        self.count = 0

    def note(self, problem: PoolProblem) -> None:
        if problem.kind == "duplicate":
            return
        self.count += 1
        if len(self.kept) < KEPT_PROBLEMS:
            self.kept.append(problem)

    def remark(self, line: int, pair: JudgedPair) -> None:
        """Where the file's own tool read other scores in a review than we do."""
        if pair.disagrees and len(self.remarks) < KEPT_PROBLEMS:
            read = (pair.review.score_teacher, pair.review.score_student)
            said = f"The file states the scores {pair.stated}; its text gives {read}, which count."
            self.remarks.append(PoolProblem(line, said, "remark"))

    def raise_if_any(self) -> None:
        if self.count:
            raise BadItems(self.kept, self.count)


class _Digest:
    """The same for the same judgements in any order of rows and files."""

    def __init__(self, first: JudgedPair) -> None:
        self._sum = 0
        self._models = (first.teacher.model, first.student.model)
        self.add(first)

    def add(self, pair: JudgedPair) -> None:
        review = pair.review
        parts = (
            pair.instruction.content_hash,
            pair.teacher.text,
            pair.student.text,
            pair.judge,
            review.order,
            review.raw,
        )
        self._sum += int.from_bytes(hashlib.sha256("\x1f".join((*self._models, *parts)).encode()).digest())

    @property
    def hex(self) -> str:
        return f"{self._sum % 2**256:064x}"


def _refuse_second(digest: str) -> None:
    known = AuditEvent.objects.filter(action=ACTION, detail__digest=digest).values("experiment_id")
    if experiment := Experiment.objects.filter(pk__in=known).first():
        raise AlreadyImported(experiment)


def _experiment(wanted: Wanted, pool: Pool, first: JudgedPair) -> Experiment:
    """Its endpoint names who taught and has no address: whatever would call it is refused."""
    endpoint = Endpoint.objects.create(
        name=f"{IMPORTED} {pool.pk}: {first.teacher.model}"[:100],
        base_url=f"{IMPORTED}:{pool.pk}",
        model=first.teacher.model,
    )
    return Experiment.objects.create(
        name=pool.name,
        owner=wanted.owner,
        endpoint=endpoint,
        pool=pool,
        settings_json=_settings(wanted, first).to_json(),
        planned_iterations=1,
    )


def _settings(wanted: Wanted, first: JudgedPair) -> ExperimentSettings:
    tau = (SCORES_TAU if first.preference is None else PREFERENCES_TAU) if wanted.tau is None else wanted.tau
    defaults = ExperimentSettings()
    return ExperimentSettings(
        student=StudentSettings(base=first.student.model),
        referee=replace(defaults.referee, mode=IMPORTED, weights=wanted.judge or first.judge or "unknown", tau=tau),
        generator=GeneratorSettings(hard=0, easy=0),
        pools=PoolSettings(heldout=0),
        gates=GateSettings(review=wanted.review),
        iterations=1,
    )


def _iteration(experiment: Experiment, student: str) -> Iteration:
    iteration = Iteration.objects.create(experiment=experiment, number=1)
    Checkpoint.objects.create(experiment=experiment, number=0, base=student)
    Checkpoint.objects.create(experiment=experiment, number=1, iteration=iteration, base=student)
    Stage.objects.bulk_create(
        Stage(iteration=iteration, kind=kind, position=at) for at, kind in enumerate(StageKind.values, 1)
    )
    return iteration


def _close_stages(iteration: Iteration, rows: int) -> None:
    for stage in iteration.stages.filter(kind__in=("answer", "train", "compare", "judge")):
        Stage.objects.filter(pk=stage.pk).update(done=rows, total=rows)
        transition(stage=stage, to=StageStatus.SUCCEEDED, message="Imported.")
