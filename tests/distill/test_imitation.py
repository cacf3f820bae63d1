"""The student learns from the teacher's responses; nothing that happens on the way changes what it learns."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from distill import imitation, resume_points, training_client
from distill.checkpoints import read_manifest
from distill.errors import DiskFull
from distill.records import Instruction
from distill.settings import TrainingSettings
from distill.trainee import write_weights
from distill.training_client import TrainingStopped, run_training
from distill.training_job import EXIT_DONE, EXIT_FAILED, EXIT_STOPPED
from distill.training_loop import learning_rate
from distill.weights import load_model
from tests.distill.training_fixtures import ROWS, tiny_job


class Recorder:
    """Events in a list, in place of stdout."""

    speaks = True

    def __init__(self):
        self.seen = []

    def emit(self, event, **facts):
        self.seen.append({"event": event, **facts})

    def of(self, event):
        return [one for one in self.seen if one["event"] == event]

    def losses(self):
        return [one["value"] for one in self.of("metric") if one["name"] == "loss"]


class StopAfter:
    """Asks to stop at the n-th time it is looked at; never for None."""

    def __init__(self, looks=None):
        self.left = looks

    def is_set(self):
        if self.left is None:
            return False
        self.left -= 1
        return self.left < 0


def run(job, stop_after=None):
    events = Recorder()
    return imitation.run(job, events, StopAfter(stop_after)), events


def weights_of(job):
    (file,) = Path(job.output).glob("*model.safetensors")
    return load_file(file)


def assert_identical(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(autouse=True)
def one_thread():
    usual = torch.get_num_threads()
    yield
    torch.set_num_threads(usual)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_loss_falls_and_the_checkpoint_is_whole(tmp_path, method):
    job = tiny_job(tmp_path, method=method, learning_rate=0.02 if method == "lora" else 0.003)

    code, events = run(job)

    before, after = events.of("heldout")
    assert code == EXIT_DONE
    assert (before["when"], after["when"]) == ("before", "after")
    assert after["loss"] < 0.7 * before["loss"]
    assert events.losses()[-1] < events.losses()[0]
    manifest = read_manifest(tmp_path / "checkpoint")
    assert events.of("done") == [
        {"event": "done", "checkpoint": job.output, "sha256": manifest["sha256"], "manifest": manifest}
    ]
    assert manifest["steps"] == 8 and manifest["metrics"]["heldout_after"] == after["loss"]
    assert manifest["base_sha256"] and manifest["parent"] is None
    assert all(not name.endswith((".bin", ".pt", ".pth")) for name in manifest["files"])


def test_what_is_started_is_announced(tmp_path):
    rows = [*ROWS, {"text": "Empty.", "response": ""}, {"text": "Cut.", "response": "The", "complete": False}]

    _, events = run(tiny_job(tmp_path, rows=rows))

    (start,) = events.of("start")
    assert start["examples"] == 13 and start["steps"] == 8 and start["epochs"] == 2
    assert start["skipped"] == {"empty_response": 1, "cut_response": 1}
    assert start["resumed_from_step"] == 0 and start["precision"] == "fp32" and start["packed"]
    assert [one["step"] for one in events.of("progress")] == list(range(1, 9))
    names = {one["name"] for one in events.of("metric")}
    assert names == {"loss", "learning_rate", "grad_norm", "tokens_per_second", "memory_bytes"}


def test_a_loaded_checkpoint_gives_the_logits_that_were_trained(tmp_path, monkeypatch):
    trained = []

    def write(student, folder):
        trained.append(student.model)
        write_weights(student, folder)

    monkeypatch.setattr(imitation, "write_weights", write)
    job = tiny_job(tmp_path)
    run(job)
    loaded = load_model(job.base, Path(job.output), home=tmp_path)
    ids = torch.tensor([loaded.tokenizer(Instruction("Name 1 rivers.").prompt)["input_ids"]])

    trained[0].get_base_model().set_attn_implementation("sdpa")
    torch.testing.assert_close(
        loaded.model(input_ids=ids).logits.cpu(), trained[0].eval()(input_ids=ids).logits.cpu(), rtol=1e-3, atol=1e-3
    )


def test_running_a_finished_job_again_changes_nothing(tmp_path):
    job = tiny_job(tmp_path)
    run(job)
    written = (tmp_path / "checkpoint" / "manifest.json").stat().st_mtime_ns

    code, events = run(job)

    assert code == EXIT_DONE and [one["event"] for one in events.seen] == ["done"]
    assert (tmp_path / "checkpoint" / "manifest.json").stat().st_mtime_ns == written


def test_the_checkpoint_of_another_job_is_not_overwritten(tmp_path):
    job = tiny_job(tmp_path)
    run(job)

    code, events = run(replace(job, seed=8))

    assert code == EXIT_FAILED
    assert "another job" in events.of("error")[0]["error"]["cause"]


@pytest.mark.parametrize("changes", [{}, {"method": "full", "learning_rate": 0.003}, {"lora_dropout": 0.3}])
def test_a_stopped_and_resumed_run_ends_in_identical_weights(tmp_path, changes):
    whole = tiny_job(tmp_path, **changes)
    stopped = replace(whole, output=str(tmp_path / "resumed"), work=str(tmp_path / "other"))
    _, undisturbed = run(whole)

    code, first = run(stopped, stop_after=3)
    assert code == EXIT_STOPPED and not Path(stopped.output).exists()
    _, second = run(stopped)

    assert second.of("start")[0]["resumed_from_step"] == 3
    assert first.losses() + second.losses() == undisturbed.losses()
    assert second.of("heldout")[0] == undisturbed.of("heldout")[0]
    assert_identical(weights_of(stopped), weights_of(whole))
    assert second.of("done")[0]["sha256"] == undisturbed.of("done")[0]["sha256"]


def test_a_run_killed_with_9_and_started_again_ends_in_identical_weights(tmp_path):
    job = tiny_job(tmp_path, epochs=30, save_every_steps=2)
    reference = replace(job, output=str(tmp_path / "reference"), work=str(tmp_path / "reference-work"))
    run(reference)
    job.write(tmp_path / "job.json")
    process = subprocess.Popen(
        [sys.executable, "-m", "distill.imitation", str(tmp_path / "job.json")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stdout:
        if json.loads(line).get("step") == 7:
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL and not Path(job.output).exists()

    code, events = run(job)

    assert code == EXIT_DONE and events.of("start")[0]["resumed_from_step"] >= 6
    assert_identical(weights_of(job), weights_of(reference))


def test_two_resume_points_are_kept_and_none_after_the_end(tmp_path):
    job = tiny_job(tmp_path, save_every_steps=1)

    run(job, stop_after=5)
    assert sorted(path.name for path in (tmp_path / "work").glob("step-*")) == ["step-00000004", "step-00000005"]

    run(job)
    assert list((tmp_path / "work").glob("step-*")) == []


def test_a_damaged_resume_point_gives_way_to_the_one_before(tmp_path):
    job = tiny_job(tmp_path, save_every_steps=1)
    run(job, stop_after=5)
    newest = tmp_path / "work" / "step-00000005" / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    (tmp_path / "work" / ".step-00000006-draft").mkdir()

    _, events = run(job)

    assert events.of("start")[0]["resumed_from_step"] == 4


def test_a_resume_point_of_another_job_is_not_used(tmp_path):
    job = tiny_job(tmp_path)
    run(job, stop_after=3)

    _, events = run(replace(job, seed=8))

    assert events.of("start")[0]["resumed_from_step"] == 0


@pytest.mark.parametrize("changes", [{}, {"method": "full", "learning_rate": 0.003}])
def test_a_warm_start_goes_on_from_the_last_checkpoint(tmp_path, changes):
    first = tiny_job(tmp_path, **changes)
    run(first)
    second = replace(first, adapter=first.output, output=str(tmp_path / "second"), work=str(tmp_path / "work2"))

    _, events = run(second)

    manifest = read_manifest(tmp_path / "second")
    assert events.of("heldout")[0]["loss"] == pytest.approx(
        read_manifest(tmp_path / "checkpoint")["metrics"]["heldout_after"], rel=1e-4
    )
    assert manifest["parent"]["sha256"] == read_manifest(tmp_path / "checkpoint")["sha256"]
    assert manifest["files"].keys() == read_manifest(tmp_path / "checkpoint")["files"].keys()


def test_without_warm_start_the_last_checkpoint_is_left_aside(tmp_path):
    first = tiny_job(tmp_path, warm_start=False)
    run(first)
    second = replace(first, adapter=first.output, output=str(tmp_path / "second"), work=str(tmp_path / "work2"))

    run(second)

    assert_identical(weights_of(second), weights_of(first))


def test_a_checkpoint_of_the_other_method_is_refused(tmp_path):
    first = tiny_job(tmp_path)
    run(first)
    second = tiny_job(tmp_path, method="full", adapter=first.output, output=str(tmp_path / "second"))

    code, events = run(second)

    assert code == EXIT_FAILED and "LoRA method" in events.of("error")[0]["error"]["cause"]


def test_the_seed_decides_the_weights(tmp_path):
    jobs = [
        tiny_job(tmp_path, seed=seed, output=str(tmp_path / f"c{n}"), work=str(tmp_path / f"w{n}"))
        for n, seed in enumerate((1, 1, 2))
    ]
    first, second, third = [run(job)[1].of("done")[0]["sha256"] for job in jobs]

    assert first == second != third


def test_the_size_of_a_micro_batch_does_not_change_the_loss(tmp_path, monkeypatch):
    monkeypatch.setitem(imitation.prepare.__globals__["MICRO_BATCH_TOKENS"], "cpu", 1)
    small = run(tiny_job(tmp_path, output=str(tmp_path / "small"), work=str(tmp_path / "w")))[1].losses()
    monkeypatch.undo()

    assert small == pytest.approx(run(tiny_job(tmp_path))[1].losses(), rel=1e-2)


def test_two_processes_learn_what_one_learns(tmp_path):
    job = tiny_job(tmp_path)
    job.write(tmp_path / "job.json")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]

    done = subprocess.run(
        [*launcher, "distill.imitation", str(tmp_path / "job.json")], capture_output=True, text=True, check=True
    )

    events = [json.loads(line) for line in done.stdout.splitlines()]
    _, alone = run(replace(job, output=str(tmp_path / "alone"), work=str(tmp_path / "alone-work")))
    losses = [one["value"] for one in events if one.get("name") == "loss"]
    assert losses == pytest.approx(alone.losses(), rel=1e-4)
    assert [one["loss"] for one in events if one["event"] == "heldout"] == pytest.approx(
        [one["loss"] for one in alone.of("heldout")], rel=1e-4
    )


def test_bf16_trains_too(tmp_path):
    code, events = run(tiny_job(tmp_path, precision="bf16"))

    assert code == EXIT_DONE and events.losses()[-1] < events.losses()[0]


def test_gradient_checkpointing_computes_the_same(tmp_path):
    plain = run(tiny_job(tmp_path, output=str(tmp_path / "a"), work=str(tmp_path / "aw")))[1].losses()
    checkpointed = run(tiny_job(tmp_path, gradient_checkpointing=True))[1].losses()

    assert checkpointed == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": []}, "No example is left to train on (the file is empty)."),
        ({"rows": [{"text": "A.", "response": " "}]}, "No example is left to train on (1 empty_response)."),
        ({"base": "/nowhere/at/all"}, "does not exist"),
    ],
)
def test_what_cannot_be_trained_is_said_with_advice(tmp_path, changes, says):
    code, events = run(tiny_job(tmp_path, **changes))

    (error,) = events.of("error")
    assert code == EXIT_FAILED and says in error["error"]["cause"] and error["error"]["advice"]
    assert not (tmp_path / "checkpoint").exists()


@pytest.mark.parametrize(("heldout", "says"), [(True, "held-out loss before training"), (False, "at step 1")])
def test_a_loss_that_is_no_number_ends_training_with_advice(tmp_path, heldout, says):
    job = tiny_job(tmp_path)
    weights = load_file(tmp_path / "model" / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, tmp_path / "model" / "model.safetensors", metadata={"format": "pt"})

    code, events = run(job if heldout else replace(job, heldout_file=None))

    (error,) = events.of("error")
    assert code == EXIT_FAILED and says in error["error"]["cause"] and error["error"]["advice"]


def test_memory_that_runs_out_is_said(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(imitation, "train", fail)

    code, events = run(tiny_job(tmp_path))

    assert code == EXIT_FAILED and events.of("error")[0]["error"]["code"] == "out_of_memory"


def test_a_full_disk_at_the_end_keeps_the_resume_points(tmp_path, monkeypatch):
    job = tiny_job(tmp_path, save_every_steps=3)

    def fill(student, folder):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(imitation, "write_weights", fill)
        code, events = run(job)
    assert code == EXIT_FAILED and events.of("error")[0]["error"]["code"] == "disk_full"
    assert not (tmp_path / "checkpoint").exists() and not list(tmp_path.glob(".checkpoint-*"))

    _, events = run(job)
    assert events.of("start")[0]["resumed_from_step"] == 6 and events.of("done")


def test_a_file_that_the_system_will_not_let_grow_is_a_full_disk(tmp_path, monkeypatch):
    shell = ["sh", "-c", 'ulimit -f 64; exec "$0" "$@"', sys.executable, "-m"]
    monkeypatch.setattr(training_client, "_launcher", lambda gpus: shell)
    job, events = tiny_job(tmp_path, save_every_steps=1), []

    with pytest.raises(DiskFull):
        run_training(job, on_event=events.append, should_stop=lambda: False)

    assert [path.name for path in (tmp_path / "work").glob(".step-*")] == []


def test_the_process_speaks_only_events_and_stops_when_asked(tmp_path):
    job, events = tiny_job(tmp_path, epochs=100, save_every_steps=1000), []

    with pytest.raises(TrainingStopped):
        run_training(job, on_event=events.append, should_stop=lambda: any(one["event"] == "progress" for one in events))

    state, _ = resume_points.latest(tmp_path / "work", job.fingerprint())
    assert 0 < state.step < 400
    assert {one["event"] for one in events} == {"start", "heldout", "metric", "progress", "stopped"}


def test_the_learning_rate_warms_up_and_falls():
    settings = TrainingSettings(warmup_ratio=0.2, learning_rate=1.0)

    rates = [learning_rate(settings, step, 10) for step in range(10)]

    assert rates[0] < rates[1] < rates[2] == 1.0
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert learning_rate(TrainingSettings(schedule="constant", learning_rate=1.0), 9, 10) == 1.0
    assert learning_rate(TrainingSettings(schedule="linear", warmup_ratio=0.0, learning_rate=1.0), 5, 10) == 0.5
