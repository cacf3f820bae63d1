import pytest
from django.db import OperationalError

from worker.patience import patiently

pytestmark = pytest.mark.django_db


def test_an_action_is_tried_again_while_the_database_is_away():
    tries = []

    def action():
        tries.append(1)
        if len(tries) < 3:
            raise OperationalError("the server closed the connection")
        return "kept"

    assert patiently(action) == "kept"
    assert len(tries) == 3


def test_a_database_that_stays_away_is_an_error():
    def action():
        raise OperationalError("gone")

    with pytest.raises(OperationalError):
        patiently(action, patience_seconds=0)


def test_other_errors_are_not_tried_again():
    tries = []

    def action():
        tries.append(1)
        raise ValueError

    with pytest.raises(ValueError):
        patiently(action)
    assert len(tries) == 1
