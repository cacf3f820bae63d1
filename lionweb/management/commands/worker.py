import os
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lionweb.local import home, programs

QUEUES = {worker.queues: worker.concurrency for worker in programs.WORKERS}


class Command(BaseCommand):
    help = "Run a worker of some queues on this machine, with DATABASE_URL and BROKER_URL of another."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--queues", default=",".join(QUEUES), help="names with commas between: api, gpu, default")
        parser.add_argument("--concurrency", type=int, help="threads; by default what its queues need")
        parser.add_argument("--name", help="name of the worker; by default after its queues")

    def handle(self, *args: Any, **options: Any) -> None:
        queues = [name.strip() for name in options["queues"].split(",") if name.strip()]
        unknown = ", ".join(name for name in queues if name not in QUEUES)
        if unknown or not queues:
            raise CommandError(f"No queue {unknown or 'named'}. Choose from: {', '.join(QUEUES)}.", returncode=2)
        concurrency = options["concurrency"] or sum(QUEUES[name] for name in queues)
        name = options["name"] or "worker-" + "-".join(queues)
        argv = programs.celery_argv(",".join(queues), concurrency, name)
        os.chdir(home.REPOSITORY)
        os.execv(argv[0], argv)
