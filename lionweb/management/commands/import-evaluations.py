"""`./lion import-evaluations PATH...`: evaluation sets from files and folders of this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from distill.errors import DistillError
from lionweb.models import EvaluationSet
from lionweb.services.evaluations import BadItems, import_evaluation_set

ENDINGS = (".json", ".jsonl", ".ndjson")


class Command(BaseCommand):
    help = (
        "Import evaluation sets; a folder means every .json and .jsonl file in it. A set that is there is passed over."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("paths", type=Path, nargs="+", metavar="PATH")

    def handle(self, *args: Any, **options: Any) -> None:
        failed = 0
        for root in options["paths"]:
            if not root.exists():
                raise CommandError(f"{root} is not there. Check its path.")
            for path, name in _files(root):
                failed += not self._import(path, name)
        if failed:
            files = "1 file" if failed == 1 else f"{failed} files"
            raise CommandError(f"{files} could not be imported; the others were.")

    def _import(self, path: Path, name: str) -> bool:
        if EvaluationSet.objects.filter(name=name).exists():
            self.stdout.write(f"{name} is there already.")
            return True
        try:
            with path.open("rb") as stream:
                made = import_evaluation_set(stream=stream, filename=path.name, name=name, actor=None)
        except BadItems as error:
            for problem in error.problems[:20]:
                self.stderr.write(f"{path}, line {problem.line:,}: {problem.message}")
            return False
        except (DistillError, OSError) as error:
            self.stderr.write(f"{path}: {error}")
            return False
        self.stdout.write(self.style.SUCCESS(f"{made.name}: {made.items:,} items imported."))
        return True


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Files with the names of their sets: in a folder the path below it, without the ending."""
    if root.is_file():
        yield root, root.stem
        return
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            yield path, path.relative_to(root).with_suffix("").as_posix()
