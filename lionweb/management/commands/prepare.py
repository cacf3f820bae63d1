from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from lionweb import static_files
from lionweb.services.endpoints import sync_environment_endpoints
from lionweb.services.samples import ensure_sample_pools
from lionweb.services.users import ensure_first_user, first_sign_in


class Command(BaseCommand):
    help = "Bring an installation up to date: tables, static files, endpoints, sample pools, first user. ./lion up does it."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        if not static_files.is_current():
            call_command("collectstatic", interactive=False, verbosity=0)
            static_files.mark_current()
        sync_environment_endpoints()
        ensure_sample_pools()
        ensure_first_user()
        sign_in = first_sign_in()
        if sign_in:
            self.stdout.write(f"Sign in as {sign_in}")
