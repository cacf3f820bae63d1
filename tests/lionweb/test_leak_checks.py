"""Where instructions are compared with evaluation sets: at import, at generation, when a set arrives; and what is kept out."""

import io
import json
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from distill.records import Purpose
from distill.settings import ExperimentSettings, GateSettings, GeneratorSettings, PoolSettings, RefereeSettings
from lionweb.models import (
    Candidate,
    EvaluationItem,
    EvaluationSet,
    Instruction,
    LeakHit,
    LeakScan,
    MemberPool,
    Membership,
    Pool,
    StageStatus,
)
from lionweb.services import controls, leak_scans, leaks
from lionweb.services.advance import begin
from lionweb.services.evaluations import import_evaluation_set, remove_evaluation_set
from lionweb.services.pools import import_pool
from tests.factories import make_experiment, make_instructions, make_pool
from tests.fake_engine import FakeEngine, drive, outcome_of, reply_to
from tests.lionweb.approval_cases import forget_caches
from tests.lionweb.leak_cases import know

pytestmark = pytest.mark.django_db
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "eval"
ITEM = "A farmer has seventeen sheep and all but nine run away in the night; how many sheep does he have left at dawn?"
NEAR = "A farmer has seventeen goats and all but nine run away in the night; how many goats does he have left at dawn?"


@pytest.fixture(autouse=True)
def sent(settings, tmp_path, monkeypatch):
    """The messages that would go to workers."""
    settings.ARTIFACTS_DIR = tmp_path
    forget_caches()
    messages = []
    monkeypatch.setattr("lionweb.queue._send", lambda task, args, queue: messages.append((task, args, queue)))
    return messages


def do_import(texts, name="Mine"):
    content = "\n".join(json.dumps({"instruction": text}) for text in texts).encode()
    return import_pool(
        stream=io.BytesIO(content), filename="pool.jsonl", name=name, kind="seed", actor=None, keep_good=False
    )


def run_all():
    for pk in LeakScan.objects.filter(finished_at__isnull=True).values_list("pk", flat=True):
        leak_scans.run(scan_id=pk)


class TestOfAPool:
    def test_its_check_is_sent_once_the_import_is_committed(self, sent, django_capture_on_commit_callbacks):
        know([ITEM])
        with django_capture_on_commit_callbacks(execute=True):
            do_import(["Name three rivers."])

        scan = LeakScan.objects.get(pool__isnull=False)
        assert ("worker.scan_leaks", [scan.pk], "default") in sent

    def test_without_any_evaluation_set_nothing_is_asked(self):
        do_import(["Name three rivers."])

        assert not LeakScan.objects.exists()

    def test_overlaps_are_kept_counted_and_written_on_the_pool(self):
        know([ITEM], name="Farm-80")
        pool = do_import([NEAR, "Name three rivers.", ITEM])
        assert pool.leak_count is None

        run_all()

        pool.refresh_from_db()
        assert pool.leak_count == 2
        remark = pool.problems[0]
        assert (remark["kind"], remark["line"]) == ("remark", 0)
        assert "2 instructions overlap with evaluation items (Farm-80)" in remark["message"]
        assert {(hit.instruction.text, hit.kind) for hit in LeakHit.objects.all()} == {(ITEM, "exact"), (NEAR, "near")}

    def test_a_pool_without_overlaps_says_so(self):
        know([ITEM])
        pool = do_import(["Name three rivers."])

        run_all()

        pool.refresh_from_db()
        assert (pool.leak_count, pool.problems) == (0, [])


class TestOfANewSet:
    def test_existing_instructions_are_compared_with_it_alone(self):
        know(["Name three rivers in Europe and Asia"], name="First")
        pool = do_import([NEAR, "Name three rivers in Europe and Asia"])
        run_all()

        know([ITEM], name="Second")
        run_all()

        pool.refresh_from_db()
        assert pool.leak_count == 2
        assert set(LeakHit.objects.values_list("item__set__name", flat=True)) == {"First", "Second"}

    def test_a_check_that_was_killed_goes_on_where_it_stopped(self, monkeypatch):
        make_instructions(30)
        made = do_import([NEAR])
        know([ITEM])
        monkeypatch.setattr("lionweb.services.leak_scans.CHUNK", 7)
        checked = []
        true_check = leaks.check

        def check(*, instructions, only=None):
            rows = list(instructions)
            if len(checked) == 2:
                checked.append([])
                raise KeyboardInterrupt
            checked.append([row.pk for row in rows])
            return true_check(instructions=rows, only=only)

        monkeypatch.setattr("lionweb.services.leaks.check", check)
        scan = LeakScan.objects.get()
        with pytest.raises(KeyboardInterrupt):
            leak_scans.run(scan_id=scan.pk)
        leak_scans.run(scan_id=scan.pk)
        assert len(checked) == 3, "another worker's claim holds for a while"

        LeakScan.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
        leak_scans.run(scan_id=scan.pk)

        seen = [pk for chunk in checked for pk in chunk]
        assert sorted(seen) == sorted(set(seen)) == sorted(Instruction.objects.values_list("pk", flat=True))
        assert LeakHit.objects.get().instruction == made.entries.get().instruction

    def test_the_sweep_rings_for_checks_that_nobody_works_on(self, sent, django_capture_on_commit_callbacks):
        know([ITEM])
        scan = LeakScan.objects.get()
        with django_capture_on_commit_callbacks(execute=True):
            leak_scans.ring_open()
        LeakScan.objects.update(claimed_until=timezone.now() + timedelta(seconds=60))
        with django_capture_on_commit_callbacks(execute=True):
            leak_scans.ring_open()

        assert sent == [("worker.scan_leaks", [scan.pk], "default")]

    def test_a_long_check_makes_room_for_other_work_and_calls_again(
        self, sent, monkeypatch, django_capture_on_commit_callbacks
    ):
        make_instructions(30)
        know([ITEM])
        monkeypatch.setattr("lionweb.services.leak_scans.CHUNK", 7)
        monkeypatch.setattr("lionweb.services.leak_scans.TURN", timedelta(0))
        scan = LeakScan.objects.get()

        with django_capture_on_commit_callbacks(execute=True):
            leak_scans.run(scan_id=scan.pk)

        scan.refresh_from_db()
        assert (scan.finished_at, scan.claimed_until) == (None, None)
        assert sent == [("worker.scan_leaks", [scan.pk], "default")]
        for _ in range(4):
            leak_scans.run(scan_id=scan.pk)
        assert LeakScan.objects.get().finished_at

    def test_a_check_that_ran_twice_changes_nothing(self):
        know([ITEM])
        do_import([ITEM])
        run_all()
        LeakScan.objects.update(finished_at=None, reached=0, claimed_until=None)

        run_all()

        assert LeakHit.objects.count() == 1

    def test_a_removed_set_takes_its_marks_along(self, alice):
        made = know([ITEM])
        pool = do_import([ITEM])
        run_all()

        remove_evaluation_set(evaluation_set=made, actor=alice)

        pool.refresh_from_db()
        assert (pool.leak_count, pool.problems, LeakHit.objects.count()) == (0, [], 0)


def launched(alice, pool, policy="badge", approval="skip", **pools):
    settings = ExperimentSettings(
        generator=GeneratorSettings(hard=4, easy=4, leak_policy=policy),
        pools=PoolSettings(**{"train": 12, "cache": 16, "heldout": 6} | pools),
        gates=GateSettings(approval=approval),
        referee=RefereeSettings(),
        iterations=1,
    )
    experiment = make_experiment(alice, settings=settings, pool=pool)
    controls.launch(experiment=experiment, actor=alice, count=1)
    begin(experiment=experiment)
    return experiment


def checked_and_begun(experiment):
    """What the sweep does once the pool's check is through."""
    run_all()
    begin(experiment=experiment)
    return experiment


def leaking_engine(times=2):
    """A generator whose first replies are near copies of a benchmark item."""
    left = [NEAR, ITEM][:times]

    def reply(request):
        text = left.pop() if request.purpose == Purpose.GENERATE and left else reply_to(request)
        return outcome_of(request, text)

    return FakeEngine(reply)


class TestOfGeneratedOnes:
    def test_with_badge_they_are_kept_and_marked_before_the_approval(self, alice):
        know([ITEM])
        experiment = launched(alice, make_pool(rows=40), approval="require")

        stage = drive(experiment, engine=leaking_engine(times=1))

        assert (stage.kind, stage.status) == ("approve", StageStatus.WAITING)
        assert LeakHit.objects.get().instruction.candidates.get().rejected == ""

    def test_with_block_they_are_dropped_with_the_reason_and_replaced(self, alice):
        know([ITEM])
        experiment = checked_and_begun(launched(alice, make_pool(rows=40), policy="block"))

        assert drive(experiment, engine=leaking_engine()) is None

        assert Candidate.objects.filter(rejected="benchmark_leak").count() == 2
        assert Candidate.objects.filter(rejected="").count() == 8
        assert not Instruction.objects.filter(text__in=[ITEM, NEAR]).exists()

    def test_nearest_neighbours_are_there_when_the_gate_opens(self, alice):
        experiment = launched(alice, make_pool(rows=40), approval="require")

        drive(experiment)

        rows = Membership.objects.filter(experiment=experiment, since=2, pool=MemberPool.CACHE)
        for row in rows.select_related("candidate"):
            near = row.candidate.neighbours[str(row.instruction_id)]
            assert row.similarity == near[0]["score"]
            assert [one["score"] for one in near] == sorted((one["score"] for one in near), reverse=True)
            assert row.instruction_id not in [one["id"] for one in near]
            assert round(row.candidate.rouge_l, 3) <= round(row.similarity, 3) <= 0.7

    def test_where_nobody_is_asked_no_neighbours_are_looked_for(self, alice):
        drive(launched(alice, make_pool(rows=40)))

        assert set(Candidate.objects.values_list("neighbours", flat=True)) == {None}


class TestFirstPools:
    def test_where_leaks_are_blocked_nothing_is_drawn_before_the_check_and_then_no_evaluation_item(self, alice):
        know([ITEM, "Compare the moons of Jupiter with those of Saturn in a table"])
        texts = [ITEM, NEAR, "Compare the moons of Jupiter with those of Saturn in a table!"]
        pool = do_import([*texts, *(f"Explain point {n} in a sentence." for n in range(30))])

        experiment = launched(alice, pool, policy="block", train=0, cache=0, heldout=4)
        assert not Membership.objects.filter(experiment=experiment).exists()
        checked_and_begun(experiment)

        drawn = set(Membership.objects.filter(experiment=experiment).values_list("instruction__text", flat=True))
        assert len(drawn) == 30
        assert drawn.isdisjoint(texts)

    def test_with_badge_they_are_drawn(self, alice):
        know([ITEM])
        pool = do_import([ITEM, *(f"Explain point {n} in a sentence." for n in range(30))])

        experiment = launched(alice, pool, train=0, cache=0, heldout=0)

        assert Membership.objects.filter(experiment=experiment, instruction__text=ITEM, pool="train").exists()


def test_a_planted_near_copy_of_a_real_benchmark_is_caught():
    path = DATA / "mt_bench.jsonl"
    if not path.exists():
        pytest.skip("the benchmark files are not beside the repository (../shared/data/eval)")
    with path.open("rb") as stream:
        made = import_evaluation_set(stream=stream, filename=path.name, name="MT-Bench", actor=None)
    item = EvaluationItem.objects.get(set=made, key="81")
    pool = do_import([f"{item.text} Keep it short.", "Name three rivers."])

    run_all()

    assert LeakHit.objects.get().item == item
    assert Pool.objects.get(pk=pool.pk).leak_count == 1
    assert EvaluationSet.objects.get().items == 80
