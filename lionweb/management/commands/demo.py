import json
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rich.console import Console

from distill.presets import PRESETS
from lionweb.local.problems import CannotStart
from lionweb.local.stack import Stack, running_stack
from lionweb.models import Endpoint, EndpointSource, Experiment
from lionweb.progress import remarks, watch, why_it_stopped
from lionweb.selectors.outcome import outcome_of
from lionweb.services.controls import launch
from lionweb.services.experiments import create_experiment
from lionweb.services.samples import ensure_sample_pools
from lionweb.services.users import ensure_first_user, first_sign_in


class Command(BaseCommand):
    help = "Run a whole experiment with the bundled teacher and student: no key, no GPU, no download."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--iterations", type=int, default=1, help="how many iterations (default 1)")
        parser.add_argument("--exit", action="store_true", help="stop everything when the iterations are done")
        parser.add_argument("--json", type=Path, help="write the results, read back from the database, to this file")
        parser.add_argument("--port", type=int, default=8000, help="port of the web server; 0 takes a free one")

    def handle(self, *args: Any, **options: Any) -> None:
        console = Console()
        began = time.monotonic()
        console.print("Starting LionWeb.")
        try:
            with running_stack(settings.LIONWEB_HOME, port=options["port"]) as stack:
                experiment = self._run(stack, console, options["iterations"])
                self._report(experiment, options["json"], time.monotonic() - began)
                if not options["exit"]:
                    _stay(stack, console)
        except CannotStart as problem:
            raise CommandError(str(problem), returncode=2) from problem
        except KeyboardInterrupt:
            console.print("Stopped. Everything is kept: ./lion up goes on where it was.")

    def _run(self, stack: Stack, console: Console, iterations: int) -> Experiment:
        experiment = new_demo(iterations)
        # not by rich, which would break a password at the edge of a narrow terminal
        self.stdout.write(f"The page is {stack.url}/experiments/{experiment.pk}/")
        self.stdout.write(f"Sign in as {first_sign_in() or 'yourself'}")
        launch(experiment=experiment, actor=experiment.owner, count=iterations)
        stopped = watch(experiment, console=console, until=iterations, is_alive=_alive(stack))
        if stopped is not None:
            raise CommandError(why_it_stopped(stopped))
        if stack.process.poll() is not None:
            raise CommandError(f"The stack ended:\n{stack.output()[-2000:]}")
        return experiment

    def _report(self, experiment: Experiment, path: Path | None, seconds: float) -> None:
        result = outcome_of(experiment)
        result["seconds_in_all"] = round(seconds, 1)
        for line in remarks(experiment):
            self.stdout.write(line)
        if path:
            path.write_text(json.dumps(result, indent=2) + "\n")
        self.stdout.write(
            f"Held-out loss {result['heldout_loss_before']:.3f} -> {result['heldout_loss_after']:.3f}, "
            f"held-out gap {result['heldout_gap_before']:.3f} -> {result['heldout_gap_after']:.3f}, "
            f"{result['hard']} hard, {result['easy']} easy, {result['unscored']} unscored, "
            f"{result['accepted']} of {result['generated']} generated instructions kept, in {seconds:.0f} s."
        )


def new_demo(iterations: int) -> Experiment:
    """An experiment with the bundled teacher and student and the sample pools."""
    pool, heldout = ensure_sample_pools()
    return create_experiment(
        owner=ensure_first_user(),
        name=f"Demo {timezone.now():%Y-%m-%d %H:%M:%S}",
        endpoint=Endpoint.objects.get(source=EndpointSource.BUNDLED),
        pool=pool,
        heldout_pool=heldout,
        settings=PRESETS["bundled-demo"].settings,
    )


def _alive(stack: Stack) -> Callable[[], bool]:
    return lambda: stack.process.poll() is None


def _stay(stack: Stack, console: Console) -> None:
    console.print(f"LionWeb stays at {stack.url} until Ctrl-C.")
    stack.process.wait()
