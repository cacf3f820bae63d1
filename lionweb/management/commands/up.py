from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lionweb.local import home
from lionweb.local.problems import CannotStart
from lionweb.local.stack import Plan, up


class Command(BaseCommand):
    help = "Run everything on this machine until Ctrl-C: database, queue, teacher, workers and web server."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port of the web server; 0 takes a free one")
        parser.add_argument("--host", default="127.0.0.1", help="address the web server listens on")
        parser.add_argument(
            "--teacher",
            choices=("bundled", "none"),
            default="bundled",
            help="the small bundled teacher, or none; TEACHER_BASE_URL replaces it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        plan = Plan(home.home(), host=options["host"], port=options["port"], teacher=options["teacher"])
        try:
            up(plan, self.say)
        except CannotStart as problem:
            raise CommandError(str(problem), returncode=2) from problem

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
