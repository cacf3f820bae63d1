"""Runs inside the environment of a stack: `python -m tests.chaos.inside COMMAND ARGUMENTS`, JSON on standard output."""

import json
import os
import sys
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lionweb.settings")
django.setup()

from django.utils import timezone  # noqa: E402

from distill.settings import ExperimentSettings  # noqa: E402
from lionweb.models import (  # noqa: E402
    Candidate,
    Checkpoint,
    Classification,
    Endpoint,
    Experiment,
    Membership,
    Pool,
    Response,
    Review,
    Stage,
)
from lionweb.selectors.outcome import outcome_of  # noqa: E402
from lionweb.services.controls import launch, pause, resume, retry  # noqa: E402
from lionweb.services.experiments import create_experiment  # noqa: E402
from lionweb.services.replays import replay as replay_iteration  # noqa: E402
from lionweb.services.samples import ensure_sample_pools  # noqa: E402
from lionweb.services.users import ensure_first_user  # noqa: E402


def begin(model, base_url, settings_file, concurrency="4", pool_name=""):
    """A new experiment with a teacher of its own name, so that no answer of another one is reused; launched.

    Without a pool's name it takes the sample pools, else that pool, split into pools and held-out set.
    """
    endpoint = Endpoint.objects.create(
        name=model, base_url=base_url, model=model, max_concurrency=int(concurrency), source="person"
    )
    pool, heldout = (Pool.objects.get(name=pool_name), None) if pool_name else ensure_sample_pools()
    settings = ExperimentSettings.from_json(json.loads(Path(settings_file).read_text()))
    experiment = create_experiment(
        owner=ensure_first_user(), name=model, endpoint=endpoint, pool=pool, heldout_pool=heldout, settings=settings
    )
    launch(experiment=experiment, actor=None, count=settings.iterations)
    return experiment.pk


def control(pk, what):
    experiment = Experiment.objects.get(pk=pk)
    if what == "retry":
        retry(stage=Stage.objects.filter(iteration__experiment=experiment, status="failed").get(), actor=None)
    else:
        {"pause": pause, "resume": resume}[what](experiment=experiment, actor=None)


def replay(pk, tau):
    """The first iteration once more, by another threshold: the branch, and what became of its verdicts."""
    source = Experiment.objects.get(pk=pk).iterations.get(number=1)
    branch = replay_iteration(iteration=source, actor=ensure_first_user(), name="Replay", tau=float(tau))
    rows = Classification.objects.filter(iteration__experiment=branch)
    return {"branch": branch.pk, "verdicts": _rows(rows, "gap", "verdict")}


def outcome(pk):
    return outcome_of(Experiment.objects.get(pk=pk))


def stages(pk):
    rows = Stage.objects.filter(iteration__experiment=pk).order_by("iteration__number", "position")
    return [
        {"iteration": s.iteration.number, "kind": s.kind, "status": s.status, "error": s.error, "phase": s.phase}
        for s in rows.select_related("iteration")
    ]


def tables(pk):
    """Everything that the experiment made, by content instead of by row number, and sorted."""
    experiment = Experiment.objects.get(pk=pk)
    checkpoints = Checkpoint.objects.filter(experiment=experiment)
    students = Response.objects.filter(checkpoint__in=checkpoints)
    teachers = Response.objects.filter(author=experiment.endpoint.author)
    return {
        "at": timezone.now().isoformat(),
        "teacher responses": _rows(teachers, "instruction__content_hash", "text", "finish", "completion_tokens"),
        "student responses": _rows(
            students, "checkpoint__number", "instruction__content_hash", "text", "finish", "completion_tokens"
        ),
        "reviews": _rows(
            Review.objects.filter(student_response__in=students),
            "student_response__checkpoint__number",
            "student_response__instruction__content_hash",
            "order",
            "attempt",
            "score_teacher",
            "score_student",
            "raw",
        ),
        "classifications": _rows(
            Classification.objects.filter(iteration__experiment=experiment),
            "iteration__number",
            "checkpoint__number",
            "instruction__content_hash",
            "pool",
            "gap",
            "verdict",
            "flipped",
        ),
        "candidates": _rows(
            Candidate.objects.filter(iteration__experiment=experiment),
            "iteration__number",
            "key",
            "round",
            "parent__content_hash",
            "raw",
            "rejected",
            "rouge_l",
            "instruction__content_hash",
        ),
        "memberships": _rows(
            Membership.objects.filter(experiment=experiment),
            "since",
            "pool",
            "instruction__content_hash",
            "source",
            "parent__content_hash",
            "approval",
        ),
        "checkpoints": _rows(checkpoints, "number", "metrics"),
        "stages": [(s["iteration"], s["kind"], s["status"]) for s in stages(pk)],
    }


def _rows(queryset, *fields):
    return sorted(([str(value) for value in row] for row in queryset.values_list(*fields)), key=str)


COMMANDS = {
    "replay": replay,
    "begin": begin,
    "control": control,
    "outcome": outcome,
    "stages": stages,
    "tables": tables,
}

if __name__ == "__main__":
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
