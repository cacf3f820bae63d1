"""`./lion import FILE --name NAME`: a pool from a file of this machine."""

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from distill.errors import DistillError
from lionweb.models import Pool, PoolKind
from lionweb.services.pools import BadLines, import_pool

SHOWN_LINES = 20


class Command(BaseCommand):
    help = "Import a pool of instructions from a JSON, JSON lines or CSV file."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--name", required=True, help="Stands wherever a pool is chosen.")
        parser.add_argument("--kind", choices=PoolKind.values, default=PoolKind.SEED.value)
        parser.add_argument("--keep-good", action="store_true", help="Keep the good lines although others are bad.")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            pool = self._import(options)
        except BadLines as error:
            self._show([(problem.line, problem.message) for problem in error.problems], error.count)
            raise CommandError(f"{error.cause} Mend these lines, or add --keep-good to leave them out.") from error
        except DistillError as error:
            raise CommandError(str(error)) from error
        except OSError as error:
            raise CommandError(f"{options['file']} cannot be read: {error.strerror}. Check its path.") from error
        self._report(pool)

    def _import(self, options: dict[str, Any]) -> Pool:
        path: Path = options["file"]
        with path.open("rb") as stream:
            return import_pool(
                stream=stream,
                filename=path.name,
                name=options["name"],
                kind=options["kind"],
                actor=None,
                keep_good=options["keep_good"],
            )

    def _report(self, pool: Pool) -> None:
        lines = [(one["line"], one["message"]) for one in pool.problems if one["kind"] != "remark"]
        if lines:
            self._show(lines, pool.problem_count)
        for one in pool.problems:
            if one["kind"] == "remark":
                self.stdout.write(one["message"])
        left_out = f", {pool.problem_count:,} bad lines left out" if pool.problem_count else ""
        self.stdout.write(self.style.SUCCESS(f"{pool.name}: {pool.rows:,} instructions imported{left_out}."))

    def _show(self, lines: list[tuple[int, str]], count: int) -> None:
        for line, message in lines[:SHOWN_LINES]:
            self.stderr.write(f"line {line:,}: {message}")
        if count > SHOWN_LINES:
            self.stderr.write(f"... and {count - min(len(lines), SHOWN_LINES):,} more")
