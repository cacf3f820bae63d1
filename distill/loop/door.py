"""Joins what a run is given to the run itself, and a Ctrl-C to its orderly end."""

from __future__ import annotations

import hashlib
import signal
import threading
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from distill.errors import SettingsError
from distill.first_pools import FirstPools
from distill.loop.calls import Calls
from distill.loop.folder import CONDITIONS, RunFolder
from distill.loop.inputs import Given, choose_teacher, read_instructions
from distill.loop.iterations import run_iterations
from distill.loop.pools import Pools, draw
from distill.loop.progress import Say, ShouldStop
from distill.loop.run import Run
from distill.loop.teacher import Teacher
from distill.records import Instruction
from distill.settings import ExperimentSettings


def run_from_files(options: Namespace, say: Say) -> dict[str, Any]:
    """Run what the options ask for; returns the content of result.json. Raises DistillError."""
    given = Given.read(options.preset, options.settings, seed=options.seed, iterations=options.iterations)
    asked = given.settings()
    _refuse_what_needs_the_web_app(asked)
    pool = read_instructions(options.pool, say, keep_good=options.keep_good)
    heldout = read_instructions(options.heldout, say, keep_good=options.keep_good) if options.heldout else None
    teacher = choose_teacher(options)
    with RunFolder(options.out) as folder, _stop_on_signal(say) as should_stop:
        conditions = folder.conditions(_conditions(given, asked, teacher, pool, heldout))
        settings = ExperimentSettings.from_json({**conditions["settings"], "iterations": asked.iterations})
        first = draw(pool, heldout, settings)
        folder.write(CONDITIONS, conditions)
        if settings.gates.review != "skip" or settings.gates.approval != "skip":
            say("The gates for people are passed over: review and approval need the web app.")
        return _run(settings, first, teacher, folder, options, say, should_stop)


def _refuse_what_needs_the_web_app(settings: ExperimentSettings) -> None:
    """These would be passed over in silence: a run from files has one endpoint, and no page that shows the figures."""
    if settings.referee.second_referee != "off":
        raise SettingsError("referee.second_referee", "must be off here: a second endpoint needs the web app.")
    if settings.referee.stability_percent:
        raise SettingsError("referee.stability_percent", "must be 0 here: what it measures is shown by the web app.")


def _run(
    settings: ExperimentSettings,
    first: FirstPools[Instruction],
    teacher: Teacher,
    folder: RunFolder,
    options: Namespace,
    say: Say,
    should_stop: ShouldStop,
) -> dict[str, Any]:
    pools = Pools(first, settings.pools.mode, folder.candidates)
    with closing(Calls(teacher, folder.calls, say, should_stop)) as calls:
        home = Path(options.home).expanduser().resolve()
        run = Run(settings, folder, pools, calls, home, options.threads, say, should_stop)
        return run_iterations(run, settings.iterations)


def _conditions(
    given: Given,
    settings: ExperimentSettings,
    teacher: Teacher,
    pool: Sequence[Instruction],
    heldout: Sequence[Instruction] | None,
) -> dict[str, Any]:
    """What must be the same when a folder is gone on with. The number of iterations may grow."""
    return {
        "teacher": teacher.author,
        "pool": _digest(pool),
        "heldout": _digest(heldout or ()),
        "given": {"preset": given.preset, "changes": given.changes, "seed": given.seed},
        "settings": {name: value for name, value in settings.to_json().items() if name != "iterations"},
    }


def _digest(instructions: Sequence[Instruction]) -> str:
    digest = hashlib.sha256("".join(one.content_hash for one in instructions).encode()).hexdigest()
    return f"{len(instructions)} rows, {digest[:16]}"


@contextmanager
def _stop_on_signal(say: Say) -> Iterator[ShouldStop]:
    """The first Ctrl-C or SIGTERM ends the run in order, so that nothing paid is lost; a second Ctrl-C at once."""
    asked = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        say("Stopping once the calls under way are back. Press Ctrl-C again to stop at once.")

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
