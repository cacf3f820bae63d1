"""`./lion import-judged PATH... --name NAME`: pairs that were judged elsewhere, from files of this machine."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from distill.errors import DistillError
from distill.judged_files import JudgedFile
from lionweb.models import Experiment, User
from lionweb.services.evaluations import BadItems
from lionweb.services.judged import AlreadyImported, Wanted, import_judged
from lionweb.services.users import ensure_first_user

ENDINGS = (".json", ".jsonl", ".ndjson")
SHOWN_LINES = 20


class Command(BaseCommand):
    help = "Import judged pairs as an experiment to review: FastChat's table, AlpacaEval's annotations, or plain lines."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files, or a folder of them")
        parser.add_argument("--name", required=True, help="of the pool and the experiment that are made")
        parser.add_argument("--owner", help="user name (default: the first account)")
        parser.add_argument("--teacher", default="", help="the model that counts as the teacher (default: the first)")
        parser.add_argument("--judge", default="", help="who judged, where the files do not say")
        parser.add_argument("--review", choices=("skip", "sample", "require"), default="sample")
        parser.add_argument("--tau", type=float, help="threshold (default: 1.0, or 0.5 for preferences)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = self._import(options)
        except AlreadyImported as known:
            self.stdout.write(str(known))
            return
        except BadItems as error:
            for problem in error.problems[:SHOWN_LINES]:
                self.stderr.write(f"line {problem.line:,}: {problem.message}")
            raise CommandError(str(error)) from error
        except DistillError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{error.filename} cannot be read: {error.strerror}. Check its path.") from error
        self.stdout.write(self.style.SUCCESS(f"{made.name}: {made.pool.rows:,} pairs imported, experiment {made.pk}."))

    def _import(self, options: dict[str, Any]) -> Experiment:
        wanted = Wanted(
            name=options["name"],
            owner=_owner(options["owner"]),
            teacher=options["teacher"],
            judge=options["judge"],
            review=options["review"],
            tau=options["tau"],
        )
        with ExitStack() as stack:
            files = [JudgedFile(path.name, stack.enter_context(path.open("rb"))) for path in _files(options["paths"])]
            return import_judged(files=files, wanted=wanted, max_instruction=settings.INSTRUCTION_MAX_CHARACTERS)


def _owner(name: str | None) -> User:
    if name is None:
        return ensure_first_user()
    found = User.objects.filter(username=name).first()
    if found is None:
        raise CommandError(f"There is no account named {name}. Check the name.")
    return found


def _files(paths: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise CommandError(f"{path} is not there. Check its path.")
        below = (one for one in sorted(path.iterdir()) if one.suffix.lower() in ENDINGS) if path.is_dir() else (path,)
        found.extend(below)
    return found
