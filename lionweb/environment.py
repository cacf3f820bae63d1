"""Reads environment variables; a wrong value ends the start with a sentence on how to mend it."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured


def text(name: str, default: str = "") -> str:
    return os.environ.get(name, "").strip() or default


def whole_number(name: str, default: int, *, low: int = 0) -> int:
    raw = text(name)
    if not raw:
        return default
    if not raw.isdecimal() or int(raw) < low:
        raise ImproperlyConfigured(f"{name} is {raw!r}. Set it to a whole number of at least {low}, or unset it.")
    return int(raw)


def number(name: str, default: float) -> float:
    raw = text(name)
    try:
        value = float(raw) if raw else default
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ImproperlyConfigured(f"{name} is {raw!r}. Set it to a number of at least 0, or unset it.")
    return value


def flag(name: str, default: bool = False) -> bool:
    raw = text(name).lower()
    if raw in ("", "1", "true", "yes", "on", "0", "false", "no", "off"):
        return raw in ("1", "true", "yes", "on") if raw else default
    raise ImproperlyConfigured(f"{name} is {raw!r}. Set it to 1 or 0, or unset it.")


def names(name: str, default: str = "") -> list[str]:
    return [one.strip() for one in text(name, default).split(",") if one.strip()]


def secret_key(home: Path) -> str:
    """SECRET_KEY, or one made once for this data folder and readable by its owner only.

    Raises:
        ImproperlyConfigured: the data folder cannot be written.
    """
    configured = text("SECRET_KEY")
    if configured:
        return configured
    path = home / "secret_key"
    try:
        home.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(50))
    except FileExistsError:
        pass
    except OSError as error:
        raise ImproperlyConfigured(
            f"The data folder {home} cannot be written ({error.strerror}). "
            "Make it writable, or set LIONWEB_HOME to another folder."
        ) from error
    key = path.read_text().strip()
    if len(key) < 40:
        raise ImproperlyConfigured(
            f"{path} is empty or damaged. Delete it to have a new one made; stored keys of endpoints must then be entered again."
        )
    return key
