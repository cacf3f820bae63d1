"""The page of workers and queues, and the health check."""

import json
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from lionweb.local.home import up_state
from lionweb.models import Claim, Lease, StageKind, StageStatus, Worker
from tests import factories as make


@pytest.fixture
def viewer(client, charlie, settings, tmp_path):
    settings.LIONWEB_HOME = tmp_path
    (tmp_path / "run").mkdir()
    client.force_login(charlie)
    return client


@pytest.fixture
def stage(alice):
    """The answers of an iteration, 7 of 24 done."""
    iteration = make.make_iteration(make.make_experiment(alice), current=StageStatus.RUNNING)
    stage = make.stage_of(iteration, StageKind.ANSWER)
    stage.done, stage.phase = 7, "Teacher answers"
    stage.save()
    return stage


def add_worker(name="worker-api@here", queues="api", age_seconds=0, **values):
    now = timezone.now()
    beat = now - timedelta(seconds=age_seconds)
    return Worker.objects.create(
        name=name, queues=queues, hostname="here", pid=4100, started_at=now, heartbeat_at=beat, **values
    )


def test_without_workers_it_says_how_to_start_one(viewer):
    page = viewer.get("/workers/").content.decode()

    assert "./lion worker --queues api,gpu" in page
    assert "Nothing runs now." in page


def test_a_silent_worker_is_lost(viewer, settings):
    add_worker("alive")
    add_worker("silent", age_seconds=settings.LEASE_SECONDS + 1)

    rows = {row.worker.name: row.is_lost for row in viewer.get("/workers/").context["page"].workers}

    assert rows == {"alive": False, "silent": True}


def test_running_stages_show_what_is_left_and_held(viewer, stage):
    add_worker()
    lease = Lease.objects.create(
        stage=stage, part="teacher_answers", worker="worker-api@here", heartbeat_at=timezone.now()
    )
    Claim.objects.bulk_create(Claim(key=str(number), lease=lease) for number in range(5))

    page = viewer.get("/workers/").context["page"]

    assert [(row.left, row.held, row.queues) for row in page.waiting] == [(17, 5, ("api",))]
    assert [(row.part, row.held) for row in page.leases] == [("teacher_answers", 5)]
    assert page.workers[0].doing == "Answer of Small student"
    assert page.unserved == []


@pytest.mark.parametrize(
    ("workers", "unserved"),
    [([], ["api"]), ([("gpu", 0)], ["api"]), ([("default,api", 0)], []), ([("api", 9999)], ["api"])],
)
def test_work_that_no_living_worker_can_do_is_told(viewer, stage, workers, unserved):
    for number, (queues, age) in enumerate(workers):
        add_worker(f"worker {number}", queues, age)

    answer = viewer.get("/workers/")

    assert answer.context["page"].unserved == unserved
    assert ("./lion worker --queues api" in answer.content.decode().split("Workers</h2>")[0]) == bool(unserved)


@pytest.mark.parametrize(("mode", "queue"), [("pairwise", "api"), ("likelihood", "gpu")])
def test_the_referee_needs_the_queue_of_its_mode(viewer, stage, mode, queue):
    settings_json = stage.iteration.experiment.settings_json
    settings_json["referee"]["mode"] = mode
    stage.iteration.experiment.save()
    stage.iteration.stages.filter(kind=StageKind.JUDGE).update(status=StageStatus.RUNNING)

    waiting = {row.stage.kind: row.queues for row in viewer.get("/workers/").context["page"].waiting}

    assert waiting["judge"] == (queue, "default")


@pytest.mark.parametrize("kind", StageKind.values)
def test_any_stage_may_run_without_breaking_the_page(viewer, stage, kind):
    stage.iteration.stages.filter(kind=kind).update(status=StageStatus.RUNNING)

    assert viewer.get("/workers/").status_code == 200


def test_the_processes_of_this_machine_are_shown(viewer, settings):
    processes = {
        "postgres": {"pid": 11, "restarts": 0, "state": "running"},
        "web": {"pid": None, "restarts": 2, "state": "waiting"},
    }
    up_state(settings.LIONWEB_HOME).write_text(json.dumps({"pid": 1, "started": 1.8e9, "processes": processes}))

    page = viewer.get("/workers/").context["page"]

    assert [(one.name, one.pid, one.restarts, one.state) for one in page.processes] == [
        ("postgres", 11, 0, "running"),
        ("web", None, 2, "waiting"),
    ]


@pytest.mark.parametrize("state", ["", "{", "[]", "{}", '{"started": "x"}', '{"started": 1, "processes": [1]}'])
def test_a_damaged_state_file_breaks_nothing(viewer, settings, state):
    up_state(settings.LIONWEB_HOME).write_text(state)

    assert viewer.get("/workers/").context["page"].processes == ()


def test_htmx_gets_the_part_that_changes(viewer):
    page = viewer.get("/workers/", headers={"HX-Request": "true"}).content.decode()

    assert page.strip().startswith('<div id="workers" hx-get="/workers/" hx-trigger="every 3s"')


def test_hostile_names_are_escaped(viewer):
    add_worker("<script>alert(1)</script>", doing="<img src=x>")

    page = viewer.get("/workers/").content.decode()

    assert "<script>alert" not in page
    assert "<img src=x>" not in page


def test_the_number_of_queries_does_not_grow(viewer, stage, django_assert_max_num_queries):
    for number in range(10):
        add_worker(f"worker {number}")
        Lease.objects.create(
            stage=stage, part="teacher_answers", worker=f"worker {number}", heartbeat_at=timezone.now()
        )

    with django_assert_max_num_queries(6):
        viewer.get("/workers/")


class TestHealth:
    def test_it_answers_without_signing_in(self, client, db):
        answer = client.get("/healthz")

        assert (answer.status_code, answer.json()) == (200, {"ok": True, "database": True})

    def test_without_a_database_it_says_so(self, client, db, monkeypatch):
        class Gone:
            def cursor(self):
                raise OperationalError("gone")

        monkeypatch.setattr("lionweb.views.health.connection", Gone())

        answer = client.get("/healthz")

        assert (answer.status_code, answer.json()) == (503, {"ok": False, "database": False})
