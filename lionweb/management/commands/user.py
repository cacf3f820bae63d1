import getpass
import secrets
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from lionweb.models import Role
from lionweb.services.errors import Refused
from lionweb.services.users import save_user


class Command(BaseCommand):
    help = "Add a user, or give one another role and password."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--role", choices=Role.values, default=Role.RESEARCHER)
        parser.add_argument("--random", action="store_true", help="make up a password and print it")

    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(12) if options["random"] else getpass.getpass("Password: ")
        try:
            user = save_user(name=options["name"], role=Role(options["role"]), password=password)
        except Refused as error:
            raise CommandError(str(error)) from error
        shown = f" with the password {password}" if options["random"] else ""
        self.stdout.write(f"{user.username} may sign in as {user.role}{shown}.")
