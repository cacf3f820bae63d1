import json
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from lionweb.local import home, running

# What init scripts answer for a service that is not running.
NOT_RUNNING = 3


class Command(BaseCommand):
    help = "Say what runs with this data folder. Exit code 3 when nothing does."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print the state as one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        folder = home.home()
        state = running.read_state(folder) if running.is_held(folder) else {}
        if options["json"]:
            self.stdout.write(json.dumps({"running": bool(state), **state}))
        else:
            self.stdout.write(describe(state) if state else f"Nothing runs with the data folder {folder}.")
        if not state:
            raise SystemExit(NOT_RUNNING)


def describe(state: dict[str, Any]) -> str:
    minutes = (time.time() - state["started"]) / 60
    head = f"LionWeb is at {state['url']} (process {state['pid']}, for {minutes:.0f} min)."
    rows = [
        f"  {name:<16}{one['state']:<10}pid {one['pid'] or '-':<9}restarts {one['restarts']}"
        for name, one in state["processes"].items()
    ]
    return "\n".join([head, *rows])
