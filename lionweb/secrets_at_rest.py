"""Keys of endpoints as they lie in the database: encrypted under a key that is derived from SECRET_KEY."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings


class UnreadableSecret(Exception):
    """The stored text was encrypted under another SECRET_KEY, or is damaged."""


def encrypt(secret: str) -> str:
    """Empty stays empty: there is nothing to hide."""
    return _fernet().encrypt(secret.encode()).decode() if secret else ""


def decrypt(stored: str) -> str:
    try:
        return _fernet().decrypt(stored.encode()).decode() if stored else ""
    except InvalidToken as error:
        raise UnreadableSecret from error


def _fernet() -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"lionweb endpoint keys 1")
    return Fernet(base64.urlsafe_b64encode(derived.derive(settings.SECRET_KEY.encode())))
