"""Leases and claims: no row is worked on twice at once, and none is lost with its worker."""

import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from lionweb.models import Claim, Lease, StageStatus, Worker
from lionweb.services import leases
from tests.factories import make_experiment, make_iteration

pytestmark = pytest.mark.django_db


@pytest.fixture
def stage(alice):
    return make_iteration(make_experiment(alice), current=StageStatus.RUNNING).stages.get(kind="answer")


def test_a_key_is_won_by_one_lease_only(stage):
    first, second = (leases.take(stage=stage, part="teacher") for _ in range(2))
    assert leases.claim(lease=first, keys=["a", "b"]) == ["a", "b"]
    assert leases.claim(lease=second, keys=["b", "c"]) == ["c"]


def test_a_released_lease_frees_its_rows(stage):
    first, second = (leases.take(stage=stage, part="teacher") for _ in range(2))
    leases.claim(lease=first, keys=["a"])
    leases.release(lease=first)
    assert leases.claim(lease=second, keys=["a"]) == ["a"]


def test_a_lease_that_was_taken_away_can_claim_nothing(stage):
    lease = leases.take(stage=stage, part="teacher")
    Lease.objects.all().delete()
    assert leases.claim(lease=lease, keys=["a"]) == []


def test_an_exclusive_name_is_held_once(stage):
    assert leases.take(stage=stage, part="train", exclusive="cores:here")
    assert leases.take(stage=stage, part="train", exclusive="cores:here") is None
    assert leases.take(stage=stage, part="train", exclusive="cores:there")


def test_a_silent_worker_is_lost_and_its_rows_are_free(stage):
    lease = leases.take(stage=stage, part="teacher")
    leases.claim(lease=lease, keys=["a"])
    Lease.objects.update(worker="elsewhere:1", heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert leases.expire_lost() == [stage]
    assert not Claim.objects.exists()


def test_a_worker_that_beats_is_not_lost(stage):
    leases.take(stage=stage, part="teacher")
    Lease.objects.update(worker="elsewhere:1")
    assert leases.expire_lost() == []


def test_a_worker_of_this_machine_that_has_died_is_lost_at_once(stage):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    leases.take(stage=stage, part="teacher")
    Lease.objects.update(worker=f"{leases.machine()}:{done.pid}")
    assert leases.expire_lost() == [stage]


def test_a_living_worker_of_this_machine_is_kept(stage):
    leases.take(stage=stage, part="teacher")
    assert Lease.objects.get().worker == f"{leases.machine()}:{os.getpid()}"
    assert leases.expire_lost() == []


def test_a_pulse_says_to_stop_when_the_stage_is_paused(stage):
    lease = leases.take(stage=stage, part="teacher")
    assert leases.beat(lease=lease).go_on
    stage.status = StageStatus.PAUSED
    stage.save()
    assert not leases.beat(lease=lease).go_on


def test_a_pulse_counts_who_shares_the_endpoint(stage):
    endpoint = stage.iteration.experiment.endpoint
    lease, _ = (leases.take(stage=stage, part="teacher", endpoint=endpoint) for _ in range(2))
    assert leases.beat(lease=lease).sharing == 2


def test_dead_workers_leave_the_list(stage):
    Worker.objects.create(
        name="elsewhere:7",
        queues="api",
        hostname="elsewhere",
        pid=7,
        started_at=timezone.now(),
        heartbeat_at=timezone.now() - timedelta(hours=1),
    )
    leases.expire_lost()
    assert not Worker.objects.exists()
