"""One function changes a stage's status: only along the arrows, and with an event for each."""

import pytest

from lionweb.models import ALLOWED_TRANSITIONS, StageEvent, StageStatus
from lionweb.services.transitions import log, transition
from tests.factories import make_experiment, make_iteration

pytestmark = pytest.mark.django_db

PAIRS = [(a, b) for a in StageStatus.values for b in StageStatus.values]


@pytest.fixture
def stage(alice):
    return make_iteration(make_experiment(alice)).stages.get(kind="train")


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_stage_moves_along_the_arrows_only(stage, before, after):
    stage.status = before
    stage.save()
    StageEvent.objects.all().delete()
    allowed = after in ALLOWED_TRANSITIONS[before]
    assert transition(stage=stage, to=after, actor="alice") is allowed
    stage.refresh_from_db()
    assert stage.status == (after if allowed else before)
    assert StageEvent.objects.filter(from_status=before, to_status=after, actor="alice").count() == allowed


def test_the_clock_starts_once_and_ends_with_the_stage(stage):
    transition(stage=stage, to=StageStatus.RUNNING)
    started = stage.started_at
    transition(stage=stage, to=StageStatus.PAUSED)
    transition(stage=stage, to=StageStatus.PENDING)
    transition(stage=stage, to=StageStatus.RUNNING)
    assert stage.started_at == started
    assert stage.finished_at is None
    transition(stage=stage, to=StageStatus.SUCCEEDED)
    assert stage.finished_at >= started


def test_a_new_start_forgets_the_error(stage):
    transition(stage=stage, to=StageStatus.FAILED, error={"code": "x", "cause": "y", "advice": "z"})
    assert stage.error["cause"] == "y"
    transition(stage=stage, to=StageStatus.PENDING)
    assert stage.error is None


def test_a_log_line_is_an_event_without_a_status(stage):
    log(stage=stage, message="Half way.")
    event = StageEvent.objects.latest("id")
    assert (event.message, event.from_status, event.to_status) == ("Half way.", "", "")
