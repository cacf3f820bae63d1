import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lionweb.local import home
from lionweb.local.problems import CannotStart
from lionweb.local.services import temporary_services

BIN = Path(sys.executable).parent
CHECKS = {
    "lint": [sys.executable, "-m", "ruff", "check", "."],
    "format": [sys.executable, "-m", "ruff", "format", "--check", "."],
    "import rules": [str(BIN / "lint-imports")],
    "types": [sys.executable, "-m", "mypy"],
    "migrations": [sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
}


class Command(BaseCommand):
    help = "Run every check, then the tests. Everything after the command goes to pytest."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Options are pytest's, so they are not parsed here."""
        if argv[2:3] in (["-h"], ["--help"]):
            self.print_help(argv[0], argv[1])
            return
        try:
            sys.exit(self.check_and_test(argv[2:]))
        except CannotStart as problem:
            self.stderr.write(str(problem))
            sys.exit(2)

    def handle(self, *args: Any, **options: Any) -> None:
        """When called from Python instead of the command line."""
        if self.check_and_test(list(args)):
            raise CommandError("Some checks or tests failed.")

    def check_and_test(self, arguments: list[str]) -> int:
        """Checks that fail do not keep the tests from running; pytest's summary is the last that is printed."""
        with temporary_services(self.stdout.write) as services:
            environment = {**os.environ, **services, "DJANGO_SETTINGS_MODULE": "lionweb.settings"}
            failed = [name for name, argv in CHECKS.items() if not self.passes(name, argv, environment)]
            if failed:
                self.stdout.write(f"Failed before the tests: {', '.join(failed)}")
            self.stdout.flush()
            tests = subprocess.run(
                [sys.executable, "-m", "pytest", *arguments], env=environment, cwd=home.REPOSITORY, check=False
            )
        return tests.returncode or int(bool(failed))

    def passes(self, name: str, argv: list[str], environment: dict[str, str]) -> bool:
        began = time.monotonic()
        done = subprocess.run(argv, env=environment, cwd=home.REPOSITORY, capture_output=True, text=True, check=False)
        passed = done.returncode == 0
        self.stdout.write(f"{name}: {'passed' if passed else 'FAILED'} ({time.monotonic() - began:.1f} s)")
        if not passed:
            self.stdout.write(done.stdout + done.stderr)
        self.stdout.flush()
        return passed
