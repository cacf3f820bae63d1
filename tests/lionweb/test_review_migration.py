"""Rows of installations from before the review queue get a state, and their decisions become rows."""

from importlib import import_module

import pytest
from django.db import connection

from lionweb.models import Classification, Decision, StageKind, StageStatus
from tests import factories as make

migration = import_module("lionweb.migrations.0006_queue")


@pytest.mark.parametrize(
    ("status", "open_state"), [(StageStatus.WAITING, "pending"), (StageStatus.SUCCEEDED, "closed")]
)
def test_old_rows_get_their_state(alice, bob, status, open_state):
    iteration = make.finish_iteration(make.make_experiment(alice))
    iteration.stages.filter(kind=StageKind.REVIEW).update(status=status)
    hard = list(iteration.classifications.filter(pool="cache", referee_verdict="hard").order_by("pk")[:3])
    Classification.objects.filter(pk__in=[row.pk for row in hard]).update(for_review=True)
    Classification.objects.filter(pk=hard[0].pk).update(person_verdict="hard", person=bob, person_reason="So.")
    Classification.objects.filter(pk=hard[1].pk).update(person_verdict="easy", person=bob)

    with connection.cursor() as cursor:
        cursor.execute(migration.STATES_OF_OLD_ROWS)
        cursor.execute(migration.DECISIONS_OF_OLD_ROWS)

    for row in hard:
        row.refresh_from_db()
    assert [row.review_state for row in hard] == ["confirmed", "overridden", open_state]
    made = Decision.objects.order_by("classification")
    assert [(one.kind, one.person, one.comment) for one in made] == [("hard", bob, "So."), ("easy", bob, "")]
    assert Classification.objects.exclude(review_state="").count() == 3
