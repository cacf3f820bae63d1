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
    ModelCall,
    Pool,
    Response,
    Review,
    Stage,
)
from lionweb.selectors.outcome import outcome_of  # noqa: E402
from lionweb.selectors.plan import plan_page  # noqa: E402
from lionweb.services.budget import raise_budget, spent_usd  # noqa: E402
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


def begin_priced(name, base_url, settings_file, changes, budget_usd=""):
    """A new experiment at the endpoint "priced", which it shares with others like it; launched.

    changes: settings that differ from the file's, as JSON of the same shape.
    """
    endpoint, _ = Endpoint.objects.get_or_create(
        name="priced", defaults={"base_url": base_url, "model": "priced", "max_concurrency": 4, **PRICES}
    )
    pool, heldout = ensure_sample_pools()
    data = json.loads(Path(settings_file).read_text())
    for group, values in json.loads(changes).items():
        data[group] = data[group] | values if isinstance(values, dict) else values
    experiment = create_experiment(
        owner=ensure_first_user(),
        name=name,
        endpoint=endpoint,
        pool=pool,
        heldout_pool=heldout,
        settings=ExperimentSettings.from_json(data),
        budget_usd=float(budget_usd) if budget_usd else None,
    )
    launch(experiment=experiment, actor=None, count=experiment.settings.iterations)
    return experiment.pk


def budget(pk, more_usd=""):
    """Where the money stands; with `more_usd` the budget is then raised by it above what was spent."""
    experiment = Experiment.objects.get(pk=pk)
    spent = spent_usd(experiment=experiment)
    calls = ModelCall.objects.filter(experiment=experiment)
    found = {
        "limit": experiment.budget_usd,
        "spent": spent,
        "dearest": max(calls.values_list("cost_usd", flat=True), default=0.0),
        "paused_for": [[s.iteration.number, s.kind, s.paused_for] for s in _paused(experiment)],
    }
    if more_usd:
        raise_budget(experiment=experiment, actor=None, usd=spent + float(more_usd))
    return found


def _paused(experiment):
    return Stage.objects.filter(iteration__experiment=experiment, status="paused").select_related("iteration")


def plan(pk):
    """Planned and counted so far: calls, tokens in, tokens out."""
    total = plan_page(Experiment.objects.get(pk=pk)).total
    planned, counted = total.planned, total.counted
    return {
        "planned": [planned.calls.expected, planned.prompt_tokens.expected, planned.completion_tokens.expected],
        "counted": [counted.calls, counted.prompt_tokens, counted.completion_tokens],
    }


PRICES = {"input_usd_per_million": 1.0, "output_usd_per_million": 3.0}


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
    "begin": begin,
    "begin_priced": begin_priced,
    "budget": budget,
    "control": control,
    "outcome": outcome,
    "plan": plan,
    "replay": replay,
    "stages": stages,
    "tables": tables,
}

if __name__ == "__main__":
    print(json.dumps(COMMANDS[sys.argv[1]](*sys.argv[2:])))
