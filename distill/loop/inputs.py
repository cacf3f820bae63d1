"""What a run is given: pool files, settings and a teacher. Whatever is wrong with them is said before anything starts."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.endpoint_url import safe_base_url
from distill.errors import DistillError, EndpointError, PoolError
from distill.loop.progress import Say
from distill.loop.teacher import BundledTeacher, GivenTeacher, Teacher
from distill.overrides import with_overrides
from distill.pools import PoolProblem, read_pool
from distill.presets import PRESETS
from distill.records import Endpoint, Instruction
from distill.settings import ExperimentSettings

SHOWN_PROBLEMS = 5


class BadInput(DistillError):
    code = "bad_input"


@dataclass(frozen=True)
class Given:
    """What a person asked for: a preset, and what is to be different from it."""

    preset: str
    changes: Any
    seed: int | None
    iterations: int | None

    @classmethod
    def read(cls, preset: str, overrides: Path | None, *, seed: int | None, iterations: int | None) -> Given:
        return cls(preset, {} if overrides is None else _json(overrides), seed, iterations)

    def settings(self) -> ExperimentSettings:
        settings = with_overrides(preset_settings(self.preset), self.changes)
        if settings.referee.mode == "imported":
            raise BadInput(
                "The referee mode imported asks nobody.", "Choose pairwise, reference, single or likelihood."
            )
        return replace(
            settings,
            iterations=settings.iterations if self.iterations is None else self.iterations,
            seed=settings.seed if self.seed is None else self.seed,
        )


def preset_settings(name: str) -> ExperimentSettings:
    if name not in PRESETS:
        raise BadInput(f"There is no preset {name!r}.", f"Choose one of {', '.join(PRESETS)}.")
    return PRESETS[name].settings


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except ValueError as error:
        raise BadInput(
            f"{path} is no JSON: {error}.", "Write an object of settings, as `settings` prints it."
        ) from error


def read_instructions(path: Path, say: Say, *, keep_good: bool) -> list[Instruction]:
    """Raises PoolError for a file with bad lines, unless the good ones are wanted."""
    problems: list[PoolProblem] = []
    try:
        with path.open("rb") as stream:
            rows = [row for _, row, _ in read_pool(stream, path.name, on_problem=problems.append)]
    except OSError as error:
        raise PoolError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    bad = [one for one in problems if one.kind != "duplicate"]
    shown = " ".join(f"Line {one.line}: {one.message}" for one in bad[:SHOWN_PROBLEMS])
    if bad and not keep_good:
        raise PoolError(
            f"{len(bad)} lines of {path} cannot be used. {shown}", "Mend them, or take only the good ones: --keep-good."
        )
    if bad:
        say(f"{path}: {len(bad)} lines left out. {shown}")
    if len(problems) > len(bad):
        say(f"{path}: {len(problems) - len(bad)} repeated rows were merged with the first of their kind.")
    return rows


def given_endpoint(options: Namespace) -> Endpoint | None:
    """From the options, else from TEACHER_BASE_URL and TEACHER_MODEL; the key from TEACHER_API_KEY alone."""
    base_url = options.base_url or os.environ.get("TEACHER_BASE_URL", "").strip()
    model = options.model or os.environ.get("TEACHER_MODEL", "").strip()
    if not base_url:
        return None
    if not model:
        raise BadInput("The endpoint's model is missing.", "Name it with --model, or in TEACHER_MODEL.")
    try:
        base_url = safe_base_url(base_url)
    except EndpointError as error:
        raise BadInput(error.cause, error.advice) from error
    return Endpoint(
        base_url,
        model,
        os.environ.get("TEACHER_API_KEY", "").strip(),
        options.max_concurrency,
        options.requests_per_minute,
        options.tokens_per_minute,
        options.input_usd_per_million,
        options.output_usd_per_million,
    )


def choose_teacher(options: Namespace) -> Teacher:
    """The endpoint that is given; without one the bundled teacher, for the preset that is made for it."""
    endpoint = given_endpoint(options)
    if endpoint is not None:
        return GivenTeacher(endpoint)
    if options.preset != "bundled-demo":
        raise BadInput(
            f"The preset {options.preset} needs a teacher.",
            "Give --base-url and --model, or set TEACHER_BASE_URL and TEACHER_MODEL.",
        )
    return BundledTeacher(options.threads)
