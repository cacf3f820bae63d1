import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console

from distill.errors import DistillError
from distill.overrides import with_overrides
from distill.presets import PRESETS
from distill.settings import ExperimentSettings
from lionweb.models import Endpoint, Experiment, Pool
from lionweb.progress import remarks, watch, why_it_stopped
from lionweb.selectors.outcome import outcome_of
from lionweb.services.controls import current_stage, launch, retry
from lionweb.services.experiments import create_experiment
from lionweb.services.users import ensure_first_user


class Command(BaseCommand):
    help = "Launch iterations of an experiment on the running stack, and watch them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("experiment", nargs="?", type=int, help="number of an experiment that is there already")
        parser.add_argument("--name", help="make a new experiment with this name")
        parser.add_argument("--endpoint", help="name of the teacher's endpoint")
        parser.add_argument("--pool", help="name of an imported pool")
        parser.add_argument("--heldout", help="name of an imported held-out set")
        parser.add_argument("--preset", choices=sorted(PRESETS), default="bundled-demo")
        parser.add_argument("--settings-file", type=Path, help="JSON file with settings that replace the preset's")
        parser.add_argument("--iterations", type=int, default=1)
        parser.add_argument("--budget-usd", type=float, help="of a new experiment: it pauses before paying more")
        parser.add_argument("--retry", action="store_true", help="run the failed stage again; what it has is kept")
        parser.add_argument("--json", type=Path, help="write the results to this file")
        parser.add_argument("--detach", action="store_true", help="launch and return at once")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            experiment = self._experiment(options)
            if options["retry"]:
                _retry(experiment)
            else:
                launch(experiment=experiment, actor=experiment.owner, count=options["iterations"])
        except DistillError as error:
            raise CommandError(str(error)) from error
        experiment.refresh_from_db()
        self.stdout.write(f"Experiment {experiment.pk}: {experiment.name}")
        if options["detach"]:
            return
        stopped = watch(experiment, console=Console(), until=experiment.planned_iterations, is_alive=lambda: True)
        for line in remarks(experiment):
            self.stdout.write(line)
        if options["json"]:
            options["json"].write_text(json.dumps(outcome_of(experiment), indent=2) + "\n")
        if stopped is not None:
            raise CommandError(why_it_stopped(stopped))

    def _experiment(self, options: dict[str, Any]) -> Experiment:
        if options["experiment"]:
            return self._named(Experiment, "experiment", pk=options["experiment"])
        if not (options["name"] and options["endpoint"] and options["pool"]):
            raise CommandError("Give the number of an experiment, or --name, --endpoint and --pool for a new one.")
        heldout = self._named(Pool, "held-out set", name=options["heldout"]) if options["heldout"] else None
        return create_experiment(
            owner=ensure_first_user(),
            name=options["name"],
            endpoint=self._named(Endpoint, "endpoint", name=options["endpoint"]),
            pool=self._named(Pool, "pool", name=options["pool"]),
            heldout_pool=heldout,
            settings=_settings(options["preset"], options["settings_file"]),
            budget_usd=options["budget_usd"],
        )

    def _named(self, model: Any, what: str, **by: Any) -> Any:
        found = model.objects.filter(**by).first()
        if found is None:
            names = ", ".join(str(row) for row in model.objects.all()[:10]) or "none yet"
            raise CommandError(f"There is no {what} {next(iter(by.values()))!r}. There are: {names}.")
        return found


def _retry(experiment: Experiment) -> None:
    stage = current_stage(experiment)
    if stage is None:
        raise CommandError(f"{experiment.name} was never launched, so nothing has failed.")
    retry(stage=stage, actor=experiment.owner)


def _settings(preset: str, path: Path | None) -> ExperimentSettings:
    """The preset, with the groups and fields that the file names replaced."""
    try:
        changes = json.loads(path.read_text()) if path else {}
    except (OSError, ValueError) as error:
        raise CommandError(f"{path} cannot be read as JSON: {error}") from error
    return with_overrides(PRESETS[preset].settings, changes)
