"""Accounts as an admin manages them on the page."""

import secrets

from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q

from lionweb.models import ReviewLock, Role, User
from lionweb.services import audit
from lionweb.services.errors import Refused

ADMINS = Q(is_active=True) & (Q(role=Role.ADMIN) | Q(is_superuser=True))
LONGEST_NAME = 150


def invite(*, actor: User, name: str, role: Role, email: str = "") -> tuple[User, str]:
    """A new account and its one-time password, which is stored nowhere.

    Raises:
        Refused: the name is taken or cannot be one.
    """
    name, password = _checked_name(name), _one_time_password()
    try:
        with transaction.atomic():
            person = User.objects.create_user(name, email, password, role=role, password_is_temporary=True)
            audit.record(actor=actor, action="user.invite", target=person, name=name, role=role)
    except IntegrityError as error:
        raise Refused(f"There is an account named {name} already.", "Choose another name.") from error
    return person, password


@transaction.atomic
def change_role(*, actor: User, person: User, role: Role) -> None:
    """Raises Refused for one's own role, and where no admin would be left."""
    person, before = _locked(actor, person, "role"), person.role
    if before == role:
        return
    if role != Role.ADMIN:
        _refuse_last_admin(person)
    User.objects.filter(pk=person.pk).update(role=role, is_superuser=False)
    if role == Role.VIEWER:
        ReviewLock.objects.filter(person=person).delete()
    audit.record(actor=actor, action="user.role", target=person, name=person.username, before=before, after=role)


@transaction.atomic
def deactivate(*, actor: User, person: User) -> None:
    """Ends the person's sessions with their next request. What they decided stays. Raises Refused as `change_role` does."""
    person = _locked(actor, person, "account")
    if not person.is_active:
        return
    _refuse_last_admin(person)
    User.objects.filter(pk=person.pk).update(is_active=False)
    ReviewLock.objects.filter(person=person).delete()
    audit.record(actor=actor, action="user.deactivate", target=person, name=person.username)


@transaction.atomic
def reactivate(*, actor: User, person: User) -> None:
    if User.objects.filter(pk=person.pk, is_active=False).update(is_active=True):
        audit.record(actor=actor, action="user.reactivate", target=person, name=person.username)


@transaction.atomic
def new_password(*, actor: User, person: User) -> str:
    """Another one-time password for someone who lost theirs. It ends their sessions. Raises Refused for one's own."""
    person, password = _locked(actor, person, "password"), _one_time_password()
    person.set_password(password)
    person.password_is_temporary = True
    person.save(update_fields=["password", "password_is_temporary"])
    audit.record(actor=actor, action="user.password", target=person, name=person.username)
    return password


@transaction.atomic
def choose_password(*, person: User, password: str) -> None:
    """A password of the person's own. Raises Refused for the one they have, and for one that is too short or too common."""
    if person.check_password(password):
        raise Refused("This is the password that you have already.", "Choose another one.")
    try:
        validate_password(password, person)
    except ValidationError as error:
        raise Refused(" ".join(error.messages), "Choose another password.") from error
    person.set_password(password)
    person.password_is_temporary = False
    person.save(update_fields=["password", "password_is_temporary"])
    audit.record(actor=person, action="user.own_password", target=person)


def _locked(actor: User, person: User, what: str) -> User:
    """The person's row as it is now, locked together with those of all admins, so that no two can remove each other."""
    if person.pk == actor.pk:
        raise Refused(f"Your own {what} cannot be changed here.", "Ask another administrator to do it.")
    list(User.objects.select_for_update().filter(ADMINS).order_by("pk").values_list("pk"))
    if not User.objects.filter(ADMINS, pk=actor.pk).exists():
        raise Refused("You are no administrator any more.")
    return User.objects.select_for_update().get(pk=person.pk)


def _refuse_last_admin(person: User) -> None:
    if not User.objects.filter(ADMINS).exclude(pk=person.pk).exists():
        raise Refused("This is the last administrator.", "Make another person an administrator first.")


def _checked_name(name: str) -> str:
    name = User.normalize_username(name.replace("\0", "").strip())
    if not name or len(name) > LONGEST_NAME:
        raise Refused("A name has 1 to 150 characters.", "Enter the name to sign in with.")
    try:
        UnicodeUsernameValidator()(name)
    except ValidationError as error:
        raise Refused(" ".join(error.messages)) from error
    if User.objects.filter(username__iexact=name).exists():
        raise Refused(f"There is an account named {name} already.", "Choose another name.")
    return name


def _one_time_password() -> str:
    return secrets.token_urlsafe(12)
