"""What all tests of the web app share: plain static files, fast passwords, and a cast of users."""

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _quick_and_plain(settings):
    """No collected static files, no costly password hash and nothing kept from the last test."""
    cache.clear()
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def alice(db):
    """A researcher."""
    return _person("alice", "researcher")


@pytest.fixture
def bob(db):
    """An annotator."""
    return _person("bob", "annotator")


@pytest.fixture
def charlie(db):
    """A viewer: sees everything, may change nothing."""
    return _person("charlie", "viewer")


@pytest.fixture
def dora(db):
    """An admin."""
    return _person("dora", "admin")


def _person(name, role):
    from lionweb.models import User  # the models need Django, which is set up after this file is read

    return User.objects.create_user(name, f"{name}@example.org", f"{name}-password", role=role)
