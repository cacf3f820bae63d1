import subprocess
import sys
from argparse import REMAINDER, ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    help = "Run a benchmark; it prints one JSON object."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", choices=_names())
        parser.add_argument("options", nargs=REMAINDER, help="options of the benchmark, such as --help")

    def handle(self, *args: Any, **options: Any) -> None:
        argv = [sys.executable, "-m", f"bench.{options['name']}", *options["options"]]
        done = subprocess.run(argv, cwd=settings.BASE_DIR, check=False)
        if done.returncode:
            raise CommandError(f"The benchmark {options['name']} ended with {done.returncode}.", returncode=1)


def _names() -> list[str]:
    """Modules of bench/ that can be run."""
    files = sorted((Path(settings.BASE_DIR) / "bench").glob("*.py"))
    return [file.stem for file in files if '__name__ == "__main__"' in file.read_text()]
