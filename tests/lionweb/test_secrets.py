import pytest

from lionweb import secrets_at_rest


def test_what_was_encrypted_comes_back():
    assert secrets_at_rest.decrypt(secrets_at_rest.encrypt("sk-very-secret")) == "sk-very-secret"


def test_the_stored_text_does_not_contain_the_secret_and_differs_each_time():
    first, second = secrets_at_rest.encrypt("sk-very-secret"), secrets_at_rest.encrypt("sk-very-secret")

    assert "secret" not in first
    assert first != second


def test_no_secret_is_stored_as_nothing():
    assert secrets_at_rest.encrypt("") == ""
    assert secrets_at_rest.decrypt("") == ""


def test_another_secret_key_cannot_read_it(settings):
    stored = secrets_at_rest.encrypt("sk-very-secret")
    settings.SECRET_KEY = "another key of more than forty characters, as is right"

    with pytest.raises(secrets_at_rest.UnreadableSecret):
        secrets_at_rest.decrypt(stored)


def test_damaged_text_is_told_as_such():
    with pytest.raises(secrets_at_rest.UnreadableSecret):
        secrets_at_rest.decrypt("not a token")
