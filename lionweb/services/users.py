"""Accounts: the first one of an installation, and those that an admin adds at the terminal."""

import os
import secrets
from pathlib import Path

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction

from lionweb.models import Role, User
from lionweb.services import audit
from lionweb.services.errors import Refused

FIRST_USER = "admin"


def password_file() -> Path:
    return settings.LIONWEB_HOME / "first_password"


@transaction.atomic
def ensure_first_user() -> User:
    """Somebody who can sign in to a new installation; the password stands in a file that only its owner can read."""
    first = User.objects.order_by("pk").first()
    if first:
        return first
    password = secrets.token_urlsafe(9)
    user = User.objects.create_user(FIRST_USER, password=password, role=Role.ADMIN)
    path = password_file()
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(f"{password}\n")
    audit.record(actor=None, action="user.first", target=user)
    return user


def first_sign_in() -> str:
    """Name and password of the first user, for the terminal of whoever starts the installation; empty once changed."""
    path = password_file()
    user = User.objects.filter(username=FIRST_USER).first()
    password = path.read_text().strip() if path.exists() else ""
    return f"{FIRST_USER} / {password}" if user and password and user.check_password(password) else ""


@transaction.atomic
def save_user(*, name: str, role: Role, password: str) -> User:
    """Add a user, or give an existing one another role and password.

    Raises:
        Refused: the password is too short or too common.
    """
    try:
        validate_password(password)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), "Choose another password.") from error
    user, made = User.objects.get_or_create(username=name)
    user.role = role
    user.set_password(password)
    user.save()
    audit.record(actor=None, action="user.add" if made else "user.change", target=user, role=role)
    return user
