from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lionweb.local import home, running
from lionweb.local.problems import CannotStart


class Command(BaseCommand):
    help = "Stop what ./lion up runs with this data folder."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(running.stop_running(home.home()))
        except CannotStart as problem:
            raise CommandError(str(problem), returncode=2) from problem
