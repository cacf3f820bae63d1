"""Changes of many instructions: what they do, how they stop, how they are taken back, and who may."""

import threading

import pytest
from django.db import connection, connections
from django.utils import timezone

from lionweb.models import AuditEvent, BulkItem, BulkJob, BulkStatus, Instruction, LeakHit, Pool, PoolEntry
from lionweb.selectors.bulk import all_jobs
from lionweb.services import bulk_changes, bulk_work, leaks
from lionweb.services.bulk import cancel_bulk, ring_open, start_bulk, undo_bulk
from lionweb.services.bulk_work import work_on
from lionweb.services.errors import Refused
from tests import factories as make
from tests.lionweb.approval_cases import forget_caches
from tests.lionweb.leak_cases import know

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    monkeypatch.setattr(bulk_changes, "CHUNK", 4)


@pytest.fixture
def rows(db):
    return make.make_instructions(10)


def snapshot():
    names = ("pk", "category", "language", "deleted_at", "deleted_by", "text")
    return list(Instruction.objects.order_by("pk").values_list(*names))


def done(actor, action, **said):
    job = start_bulk(actor=actor, action=action, **said)
    work_on(job.pk)
    job.refresh_from_db()
    assert job.status == BulkStatus.SUCCEEDED, job.error
    return job


def undone(actor, job):
    undo_bulk(actor=actor, job=job)
    work_on(job.pk)
    job.refresh_from_db()
    assert job.status == BulkStatus.UNDONE, job.error
    return job


@pytest.mark.parametrize(
    ("action", "value"), [("category", "new"), ("language", "fr"), ("category", ""), ("delete", "")]
)
def test_a_change_reaches_the_chosen_alone_and_its_undoing_restores_what_was(alice, rows, action, value):
    before = snapshot()
    chosen = [one.pk for one in rows[:6]]

    job = done(alice, action, value=value, ids=chosen)

    assert (job.total, job.done) == (6, 6)
    for one in Instruction.objects.all():
        changed = one.deleted_by == alice if action == "delete" else getattr(one, action) == value
        assert changed or one.pk not in chosen
    assert {row for row in snapshot() if row[0] not in chosen} <= set(before)
    undone(alice, job)
    assert snapshot() == before


def test_restoring_and_its_undoing_keep_who_had_deleted_and_when(alice, bob, rows):
    Instruction.objects.filter(pk__in=[one.pk for one in rows[:5]]).update(deleted_at=timezone.now(), deleted_by=bob)
    before = snapshot()

    job = done(alice, "restore", query="deleted=only")

    assert job.total == 5
    assert not Instruction.objects.filter(deleted_at__isnull=False).exists()
    undone(alice, job)
    assert snapshot() == before


def test_all_that_match_are_settled_when_the_job_begins(alice, rows):
    for one in rows[:7]:
        Instruction.objects.filter(pk=one.pk).update(category="old")

    job = done(alice, "category", value="new", query="category=old&sort=-length&after=1:1")

    assert job.total == 7
    assert Instruction.objects.filter(category="new").count() == 7


def test_a_query_stays_with_the_iteration_it_showed(alice):
    experiment = make.make_experiment(alice)
    make.finish_iteration(experiment)
    make.make_iteration(experiment, 2)

    job = start_bulk(actor=alice, action="delete", query=f"experiment={experiment.pk}&verdict=hard")

    assert "iteration=1" in job.query
    work_on(job.pk)
    assert Instruction.objects.filter(deleted_at__isnull=False).count() == job.items.count() > 0


def test_what_was_changed_again_since_is_left_alone_by_undoing(alice, rows):
    job = done(alice, "category", value="new", ids=[one.pk for one in rows])
    Instruction.objects.filter(pk=rows[0].pk).update(category="newer")

    undone(alice, job)

    job.refresh_from_db()
    assert job.kept == 1
    assert Instruction.objects.get(pk=rows[0].pk).category == "newer"
    assert Instruction.objects.get(pk=rows[1].pk).category == rows[1].category


def test_a_worker_that_dies_is_followed_by_one_that_goes_on(alice, rows, monkeypatch):
    job = start_bulk(actor=alice, action="category", value="new", ids=[one.pk for one in rows])
    steps = iter([bulk_changes.apply_chunk, bulk_changes.apply_chunk])

    def dies(job):
        step = next(steps, None)
        if step is None:
            raise KeyboardInterrupt
        return step(job)

    monkeypatch.setattr(bulk_work, "apply_chunk", dies)
    with pytest.raises(KeyboardInterrupt):
        work_on(job.pk)
    job.refresh_from_db()
    assert (job.status, job.done) == (BulkStatus.RUNNING, 8)

    monkeypatch.undo()
    monkeypatch.setattr(bulk_changes, "CHUNK", 4)
    work_on(job.pk)

    job.refresh_from_db()
    assert (job.status, job.done, job.total) == (BulkStatus.SUCCEEDED, 10, 10)


def test_working_twice_changes_nothing(alice, rows):
    job = done(alice, "category", value="new", ids=[one.pk for one in rows])
    before = snapshot()

    work_on(job.pk)

    assert snapshot() == before
    assert BulkJob.objects.get().done == 10


def test_an_unforeseen_error_fails_the_job_in_words_and_what_was_done_can_be_undone(alice, rows, monkeypatch):
    before = snapshot()
    job = start_bulk(actor=alice, action="category", value="new", ids=[one.pk for one in rows])
    calls = []

    def breaks(job):
        calls.append(job)
        if len(calls) > 1:
            raise RuntimeError("no")
        return bulk_changes.apply_chunk(job)

    monkeypatch.setattr(bulk_work, "apply_chunk", breaks)
    work_on(job.pk)
    job.refresh_from_db()
    assert (job.status, job.done) == (BulkStatus.FAILED, 4)
    assert "RuntimeError" in job.error

    undone(alice, job)
    assert snapshot() == before


def test_cancelling_stops_between_two_chunks_and_can_be_undone(alice, rows, monkeypatch):
    before = snapshot()
    job = start_bulk(actor=alice, action="category", value="new", ids=[one.pk for one in rows])
    step = bulk_changes.apply_chunk

    def cancels(job):
        BulkJob.objects.filter(pk=job.pk).update(status=BulkStatus.CANCELLED)
        return step(job)

    monkeypatch.setattr(bulk_work, "apply_chunk", cancels)
    work_on(job.pk)
    job.refresh_from_db()
    assert (job.status, job.done) == (BulkStatus.CANCELLED, 4)

    undone(alice, job)
    assert snapshot() == before


def test_a_job_that_waits_is_cancelled_before_it_begins(alice, rows):
    job = start_bulk(actor=alice, action="delete", query="")

    cancel_bulk(actor=alice, job=job)
    work_on(job.pk)

    assert not Instruction.objects.filter(deleted_at__isnull=False).exists()
    with pytest.raises(Refused, match="ended already"):
        cancel_bulk(actor=alice, job=job)


class TestPools:
    def test_a_new_pool_is_made_filled_and_goes_again(self, alice, rows):
        job = done(alice, "pool", new_pool="Chosen", ids=[one.pk for one in rows[:6]])

        pool = Pool.objects.get(name="Chosen")
        assert pool.rows == 6
        assert sorted(pool.entries.values_list("position", flat=True)) == list(range(6))
        undone(alice, job)
        assert not Pool.objects.filter(name="Chosen").exists()
        assert all_jobs(alice)[0].words == "Add to the pool Chosen"

    def test_a_pool_grows_by_what_it_lacks_and_shrinks_by_that_alone(self, alice):
        pool = make.make_pool(rows=5)
        every = make.make_instructions(12)
        before = set(PoolEntry.objects.values_list("instruction", "position"))

        job = done(alice, "pool", pool=pool, ids=[one.pk for one in every])

        pool.refresh_from_db()
        assert pool.rows == 12
        undone(alice, job)
        pool.refresh_from_db()
        assert pool.rows == 5
        assert set(PoolEntry.objects.values_list("instruction", "position")) == before

    def test_a_job_that_fails_counts_what_it_added(self, alice, rows, monkeypatch):
        job = start_bulk(actor=alice, action="pool", new_pool="Chosen", ids=[one.pk for one in rows])
        step, calls = bulk_changes.apply_chunk, []

        def breaks(job):
            calls.append(job)
            if len(calls) > 1:
                raise RuntimeError("no")
            return step(job)

        monkeypatch.setattr(bulk_work, "apply_chunk", breaks)
        work_on(job.pk)

        job.refresh_from_db()
        assert job.status == BulkStatus.FAILED
        assert Pool.objects.get(name="Chosen").rows == 4

    def test_a_new_pool_stays_while_another_job_is_to_fill_it(self, alice, rows):
        first = done(alice, "pool", new_pool="Chosen", ids=[rows[0].pk])
        pool = Pool.objects.get(name="Chosen")
        second = start_bulk(actor=alice, action="pool", pool=pool, ids=[rows[1].pk])

        undone(alice, first)
        work_on(second.pk)

        pool.refresh_from_db()
        assert pool.rows == 1

    def test_a_taken_name_is_refused(self, alice, rows):
        make.make_pool("There", rows=0)

        with pytest.raises(Refused, match="there already"):
            start_bulk(actor=alice, action="pool", new_pool="There", ids=[rows[0].pk])
        assert not BulkJob.objects.exists()


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"action": "explode", "ids": [1]}, "nothing that can be done"),
        ({"action": "delete"}, "No instruction is selected"),
        ({"action": "delete", "ids": [999_999_999]}, "not there any more"),
        ({"action": "category", "value": "x" * 101, "ids": [1]}, "longer than 100"),
        ({"action": "language", "value": "x" * 17, "ids": [1]}, "longer than 16"),
        ({"action": "category", "value": "a\0b", "ids": [1]}, "longer"),
        ({"action": "pool", "ids": [1]}, "No pool is chosen"),
        ({"action": "delete", "query": "experiment=999"}, "not there any more"),
        ({"action": "delete", "query": "gap_from=x"}, "not there any more"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_begins(alice, said, message):
    with pytest.raises(Refused, match=message):
        start_bulk(actor=alice, **said)
    assert not BulkJob.objects.exists()


def test_every_step_is_audited(alice, rows):
    undone(alice, done(alice, "category", value="new", ids=[rows[0].pk]))

    actions = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert actions == ["bulk.start", "bulk.succeeded", "bulk.undo", "bulk.undone"]


def test_the_sweep_rings_for_jobs_that_are_open(alice, rows, monkeypatch, django_capture_on_commit_callbacks):
    rung = []
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: rung.append((task, args, queue)))
    done(alice, "delete", ids=[rows[0].pk])
    job = start_bulk(actor=alice, action="category", value="x", ids=[rows[1].pk])

    with django_capture_on_commit_callbacks(execute=True):
        ring_open()

    assert rung == [("worker.bulk", [job.pk], "default")]


@pytest.mark.django_db(transaction=True)
def test_only_one_worker_at_a_time_works_on_a_job(alice):
    rows = make.make_instructions(3)
    job = start_bulk(actor=alice, action="category", value="x", ids=[one.pk for one in rows])

    def other():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(hashtext('lionweb.bulk'), %s)", [job.pk])
        held.set()
        let_go.wait(30)
        connections.close_all()

    held, let_go = threading.Event(), threading.Event()
    thread = threading.Thread(target=other)
    thread.start()
    held.wait(30)
    work_on(job.pk)
    assert BulkJob.objects.get().status == BulkStatus.PENDING
    let_go.set()
    thread.join(30)
    work_on(job.pk)

    assert BulkJob.objects.get().status == BulkStatus.SUCCEEDED


class TestPages:
    START = "/instructions/changes/start/"

    @pytest.fixture
    def person(self, client, alice):
        client.force_login(alice)
        return client

    def test_a_selection_is_changed_shown_and_undone(self, person, rows):
        page = person.post(
            self.START,
            {"action": "category", "value": "new", "ids": [rows[0].pk, rows[1].pk]},
            headers={"HX-Request": "true"},
        )
        job = BulkJob.objects.get()
        assert "Set the category to “new”" in page.content.decode()
        assert "hx-trigger" in page.content.decode()

        work_on(job.pk)
        after = person.get("/instructions/changes/mine/")

        assert after["HX-Trigger"] == "pool-changed"
        assert "2 of 2" in after.content.decode()
        person.post(f"/instructions/changes/{job.pk}/undo/", headers={"HX-Request": "true"})
        job.refresh_from_db()
        assert job.status == BulkStatus.UNDOING

    def test_all_that_match_goes_by_the_query(self, person, rows):
        answer = person.post(
            self.START,
            {"action": "delete", "all": "1", "query": "sort=id", "ids": [rows[0].pk], "back": "/instructions/"},
        )

        assert answer["Location"] == "/instructions/"
        assert not BulkItem.objects.exists()

    def test_no_one_is_led_elsewhere(self, person, rows):
        answer = person.post(self.START, {"action": "delete", "ids": [rows[0].pk], "back": "https://example.org/"})

        assert answer["Location"] == "/instructions/changes/"

    def test_a_refusal_is_said(self, person):
        page = person.post(self.START, {"action": "delete"}, headers={"HX-Request": "true"})

        assert "No instruction is selected." in page.content.decode()

    @pytest.mark.parametrize("who", ["bob", "charlie"])
    def test_who_is_no_researcher_sees_and_changes_nothing(self, client, rows, alice, request, who):
        client.force_login(request.getfixturevalue(who))
        job = start_bulk(actor=alice, action="delete", ids=[rows[0].pk])

        assert client.post(self.START, {"action": "delete", "ids": [rows[0].pk]}).status_code == 403
        assert client.post(f"/instructions/changes/{job.pk}/cancel/").status_code == 403
        assert client.post(f"/instructions/changes/{job.pk}/undo/").status_code == 403
        assert client.post(f"/instructions/{rows[0].pk}/delete/").status_code == 403
        assert client.get(f"/instructions/{rows[0].pk}/edit/").status_code == 403
        assert client.get("/instructions/changes/").status_code == 200
        assert 'class="pick"' not in client.get("/instructions/").content.decode()

    def test_another_researchers_job_is_left_to_them(self, person, rows, charlie):
        charlie.role = "researcher"
        charlie.save()
        job = start_bulk(actor=charlie, action="delete", ids=[rows[0].pk])

        assert person.post(f"/instructions/changes/{job.pk}/cancel/").status_code == 403

    def test_hostile_values_are_escaped(self, person, alice, rows):
        job = start_bulk(actor=alice, action="category", value="<script>x</script>", ids=[rows[0].pk])
        work_on(job.pk)

        for url in ("/instructions/", "/instructions/changes/", f"/instructions/{rows[0].pk}/"):
            assert "<script>x" not in person.get(url).content.decode()


def test_a_pool_that_many_are_added_to_counts_its_leaks(alice, rows):
    forget_caches()
    know([rows[0].text])
    leaks.check(instructions=rows)

    job = done(alice, "pool", new_pool="With leaks", ids=[one.pk for one in rows[:3]])

    assert (
        job.pool.leak_count == LeakHit.objects.filter(instruction__in=rows[:3]).values("instruction").distinct().count()
    )
    assert job.pool.leak_count
