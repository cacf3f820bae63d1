"""Bad input, all of it: one clear sentence in the terminal and on the page, and nothing that was paid for is lost."""

import errno
import html
import io
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from unittest.mock import Mock

import psutil
import pytest
from aiohttp import web
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from rich.console import Console

from distill import attempt
from distill.checkpoints import damaged_files, write_checkpoint
from distill.presets import PRESETS
from distill.settings import (
    ExperimentSettings,
    GeneratorSettings,
    PoolSettings,
    RefereeSettings,
    StudentSettings,
    TrainingSettings,
)
from lionweb.forms.settings_fields import initial_from
from lionweb.local import programs
from lionweb.models import Experiment, Instruction, ModelCall, Pool, PoolKind, Response, StageStatus
from lionweb.progress import watch
from lionweb.services import controls
from lionweb.services.advance import sweep
from lionweb.stages import training
from lionweb.stages.training import Training
from tests.distill.fake_teacher import FakeTeacher, fake_teacher, purpose_of, reply_to
from tests.factories import make_endpoint, make_experiment, make_pool
from tests.integration.live_worker import LiveWorker, play_the_student
from tests.mock_server import completion, refusal
from worker import run as run_module

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

CONCURRENCY = 4
ENDPOINT_FIELDS = (
    "name",
    "base_url",
    "model",
    "max_concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "input_usd_per_million",
    "output_usd_per_million",
)


@pytest.fixture
def worker(settings, tmp_path, monkeypatch):
    settings.ARTIFACTS_DIR = tmp_path / "artifacts"
    monkeypatch.setattr(attempt, "FIRST_BACKOFF_SECONDS", 0.01)
    with LiveWorker() as worker:
        monkeypatch.setattr("lionweb.queue._send", worker.ring)
        yield worker


@pytest.fixture
def played(worker, monkeypatch):
    """A worker whose student is played; every call to the teacher is real."""
    play_the_student(monkeypatch)
    return worker


@pytest.fixture
def researcher(client, alice):
    client.force_login(alice)
    return client


def experiment_with(alice, base_url, *, rows=40, pools=None, **groups):
    values = {
        "generator": GeneratorSettings(hard=4, easy=4),
        "pools": pools or PoolSettings(train=12, cache=16, heldout=6),
        "iterations": 1,
    }
    endpoint = make_endpoint(base_url=base_url, model="fake-teacher", max_concurrency=CONCURRENCY)
    settings = ExperimentSettings(**values | groups)
    return make_experiment(alice, settings=settings, pool=make_pool(rows=rows), endpoint=endpoint)


def in_terminal(experiment):
    """What `./lion iterate` says in the end."""
    said = io.StringIO()
    try:
        call_command("iterate", experiment.pk, stdout=said)
    except CommandError as error:
        return str(error)
    return said.getvalue()


def wait_for(experiment):
    """The stage at which it stops, or None where the iteration ends well."""
    return watch(experiment, console=Console(file=io.StringIO()), until=1, is_alive=lambda: True)


def on_page(client, path):
    return plain(client.get(path))


def plain(answer):
    """The text of a page, without its tags."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())).split())


def failed_stage(experiment):
    return experiment.iterations.get().stages.get(status=StageStatus.FAILED)


def retry(client, experiment):
    client.post(reverse("stage-retry", args=[failed_stage(experiment).pk]))
    return wait_for(experiment)


def said_in_both_places(client, experiment, terminal):
    """The stage's error, after checking that terminal and page tell all of it."""
    error = failed_stage(experiment).error
    page = on_page(client, f"/experiments/{experiment.pk}/")
    assert error["cause"] and error["advice"]
    for where in (terminal, page):
        assert error["cause"] in where
        assert error["advice"] in where
    assert f"failed: {error['cause']}" in page
    assert error["code"] in page
    return error


# endpoints


def html_page(body):
    return web.Response(text="<html>Welcome to nginx</html>", content_type="text/html")


FAULTS = {
    "wrong key": ("key_rejected", lambda body: refusal(401, "Incorrect API key provided", "invalid_api_key")),
    "unknown model": ("model_unknown", lambda body: refusal(404, "The model does not exist", "model_not_found")),
    "a web page": ("not_openai", html_page),
    "a server of another kind": ("not_openai", lambda body: refusal(404, "Not Found")),
    "no credit": ("quota", lambda body: refusal(402, "Your balance is used up")),
}


def paid_prompts(teacher_bodies):
    return Counter(body["messages"][-1]["content"] for body in teacher_bodies)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_hopeless_endpoint_is_named_at_once_and_costs_nothing(fault, played, researcher, alice):
    code, answer = FAULTS[fault]
    with fake_teacher(answer) as teacher:
        experiment = experiment_with(alice, teacher.base_url, rows=300, pools=PoolSettings(heldout=20))
        terminal = in_terminal(experiment)
        sweep()

    assert said_in_both_places(researcher, experiment, terminal)["code"] == code
    assert len(teacher.bodies) <= CONCURRENCY
    assert not ModelCall.objects.filter(paid=True).exists()


@pytest.mark.parametrize("fault", ["wrong key", "unknown model", "no credit"])
def test_answers_from_before_a_fault_are_kept_and_a_retry_pays_for_the_rest_alone(fault, played, researcher, alice):
    code, answer = FAULTS[fault]
    good, broken = [], True

    def reply(body):
        if broken and len(good) >= 7:
            return answer(body)
        good.append(body)
        return reply_to(body)

    with fake_teacher(reply) as teacher:
        experiment = experiment_with(alice, teacher.base_url)
        terminal = in_terminal(experiment)
        assert said_in_both_places(researcher, experiment, terminal)["code"] == code
        assert Response.objects.count() == 7
        assert "7 of 18 are done" in on_page(researcher, f"/experiments/{experiment.pk}/")

        broken = False
        assert retry(researcher, experiment) is None

    assert set(paid_prompts(good).values()) == {1}
    assert ModelCall.objects.filter(paid=True).count() == len(good)


def test_a_wrong_key_is_mended_on_its_page_and_the_experiment_goes_on(played, researcher, alice, monkeypatch):
    async def guarded(self, request, body):
        if request.headers["Authorization"] != "Bearer sk-right":
            return refusal(401, "Incorrect API key provided: sk-wrong", "invalid_api_key")
        return completion(reply_to(body))

    monkeypatch.setattr(FakeTeacher, "handle", guarded)
    with fake_teacher() as teacher:
        experiment = experiment_with(alice, teacher.base_url)
        endpoint = experiment.endpoint
        form = {field: getattr(endpoint, field) for field in ENDPOINT_FIELDS}
        edit = reverse("endpoint-edit", args=[endpoint.pk])
        researcher.post(edit, form | {"api_key": "sk-wrong"})
        terminal = in_terminal(experiment)
        error = said_in_both_places(researcher, experiment, terminal)
        checked = plain(researcher.post(reverse("endpoint-check", args=[endpoint.pk])))
        assert error["cause"] in checked and error["advice"] in checked
        assert "sk-wrong" not in terminal + checked

        researcher.post(edit, form | {"api_key": "sk-right"})
        assert retry(researcher, experiment) is None


def test_a_server_that_is_not_there_is_named_and_started_again_it_answers(played, researcher, alice):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    experiment = experiment_with(alice, nobody)

    terminal = in_terminal(experiment)

    error = said_in_both_places(researcher, experiment, terminal)
    checked = plain(researcher.post(reverse("endpoint-check", args=[experiment.endpoint.pk])))
    assert error["code"] == "unreachable"
    assert nobody in error["cause"] and f"{nobody} cannot be reached" in checked
    assert not ModelCall.objects.filter(paid=True).exists()
    with fake_teacher() as teacher:
        type(experiment.endpoint).objects.update(base_url=teacher.base_url)
        assert retry(researcher, experiment) is None


@pytest.mark.parametrize("fault", FAULTS)
def test_the_check_of_an_endpoint_tells_its_fault_before_an_experiment_meets_it(fault, researcher):
    _, answer = FAULTS[fault]
    with fake_teacher(answer) as teacher:
        endpoint = make_endpoint(base_url=teacher.base_url, model="fake-teacher")
        page = plain(researcher.post(reverse("endpoint-check", args=[endpoint.pk])))

    assert teacher.base_url in page
    assert any(
        advice in page
        for advice in ("Check the API key", "Check the model's name", "usually ends in /v1", "Add credit")
    )


def without_options(body):
    """An endpoint that knows neither json_schema nor logprobs."""
    for option in ("response_format", "logprobs"):
        if body.get(option):
            return refusal(400, f"{option} is not supported by this model")
    return reply_to(body)


def test_an_endpoint_without_options_says_so_when_checked_and_runs_an_experiment(played, researcher, alice):
    with fake_teacher(without_options) as teacher:
        experiment = experiment_with(alice, teacher.base_url)
        checked = plain(researcher.post(reverse("endpoint-check", args=[experiment.endpoint.pk])))
        said = in_terminal(experiment)

    assert "no structured output" in checked and "no logprobs" in checked
    assert said == f"Experiment {experiment.pk}: {experiment.name}\n"


def test_structured_output_that_is_missing_stops_the_first_review_and_the_answers_stay(played, researcher, alice):
    lacks = True
    bodies = []

    def reply(body):
        if lacks and body.get("response_format"):
            return refusal(400, "response_format json_schema is not supported")
        bodies.append(body)
        return reply_to(body)

    with fake_teacher(reply) as teacher:
        experiment = experiment_with(alice, teacher.base_url, referee=RefereeSettings(structured_output="on"))
        terminal = in_terminal(experiment)
        error = said_in_both_places(researcher, experiment, terminal)
        assert error["code"] == "feature_missing"
        assert failed_stage(experiment).kind == "judge"
        assert len(teacher.asked("review")) <= CONCURRENCY

        lacks = False
        call_command("iterate", experiment.pk, retry=True)

    assert experiment.iterations.get().finished_at
    assert set(paid_prompts(bodies).values()) == {1}


def test_structured_output_that_is_known_to_be_missing_is_refused_before_the_launch(researcher, alice, tmp_path):
    endpoint, pool = make_endpoint(supports_json_schema=False), make_pool(rows=200)
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"referee": {"mode": "pairwise", "structured_output": "on"}}))
    sentence = f"is on, but {endpoint.name} has none. Choose auto or off."

    with pytest.raises(CommandError) as refused:
        call_command(
            "iterate", name="Mine", endpoint=endpoint.name, pool=pool.name, settings_file=settings, detach=True
        )
    form = initial_from(PRESETS["bundled-demo"].settings) | {
        "referee__mode": "pairwise",
        "referee__structured_output": "on",
    }
    page = plain(
        researcher.post("/experiments/new/", form | {"name": "Mine", "endpoint": endpoint.pk, "pool": pool.pk})
    )

    assert sentence in str(refused.value)
    assert sentence in page
    assert not Experiment.objects.exists()


# pools


GOOD = b'{"instruction": "Name three rivers."}\n'
LINES = {
    "malformed line": (b"{not json\n", "The line is not JSON"),
    "Latin-1": (b'{"instruction": "caf\xe9"}\n', "UTF-8"),
    "100,000 characters": (json.dumps({"instruction": "x" * 100_000}).encode() + b"\n", "100,000 characters long"),
}


def upload(client, content, bad_lines="nothing", filename="mine.jsonl"):
    file = SimpleUploadedFile(filename, content)
    form = {"file": file, "name": "Uploaded", "kind": "seed", "bad_lines": bad_lines}
    return plain(client.post("/pools/upload/", form, follow=True))


def do_import(path, content, **options):
    path.write_bytes(content)
    call_command("import", str(path), name="Imported", **options)


@pytest.mark.parametrize("fault", LINES)
def test_a_bad_line_is_named_and_nothing_is_imported(fault, researcher, tmp_path, capsys):
    line, message = LINES[fault]
    content = GOOD + line + GOOD

    with pytest.raises(CommandError, match="1 line of the file cannot be used, so nothing was imported"):
        do_import(tmp_path / "mine.jsonl", content)
    terminal, page = capsys.readouterr().err, upload(researcher, content)

    told = re.search(r"line 2: (.*)", terminal).group(1)
    assert message in told
    assert f"2 {told}" in page
    assert "1 line of the file cannot be used, so nothing was imported." in page
    assert not Pool.objects.exists() and not Instruction.objects.exists()


@pytest.mark.parametrize("fault", LINES)
def test_the_good_lines_are_kept_where_the_person_chose_so(fault, researcher, tmp_path, capsys):
    line, message = LINES[fault]
    content = GOOD + line + b'{"instruction": "Name three lakes."}\n'

    do_import(tmp_path / "mine.jsonl", content, keep_good=True)
    terminal, page = capsys.readouterr(), upload(researcher, content, "keep")

    told = re.search(r"line 2: (.*)", terminal.err).group(1)
    assert message in told and f"2 {told}" in page
    assert "2 instructions imported, 1 bad lines left out." in terminal.out
    assert "2 instructions were imported" in page
    assert set(Pool.objects.values_list("rows", flat=True)) == {2}


def test_repeated_rows_are_merged_and_that_is_said(researcher, tmp_path, capsys):
    sentence = "2 repeated rows were merged with the first of their kind."

    do_import(tmp_path / "mine.jsonl", GOOD * 3)
    page = upload(researcher, GOOD * 3)

    assert sentence in capsys.readouterr().out
    assert sentence in page
    assert Instruction.objects.count() == 1


FILES = {
    "empty": (b"", "mine.jsonl is empty. A pool needs at least one instruction."),
    "only blank lines": (b"\n\n", "mine.jsonl is empty. A pool needs at least one instruction."),
    "UTF-16": ('{"instruction": "a"}'.encode("utf-16"), "UTF-16"),
}


@pytest.mark.parametrize("keep_good", [True, False])
@pytest.mark.parametrize("fault", FILES)
def test_an_unusable_file_is_refused_with_the_same_words(fault, keep_good, researcher, tmp_path):
    content, sentence = FILES[fault]

    with pytest.raises(CommandError) as refused:
        do_import(tmp_path / "mine.jsonl", content, keep_good=keep_good)
    page = upload(researcher, content, "keep" if keep_good else "nothing")

    assert sentence in str(refused.value)
    assert str(refused.value) in page
    assert not Pool.objects.exists()


def test_an_empty_pool_starts_no_experiment(researcher):
    endpoint, pool = make_endpoint(), make_pool(rows=0)

    with pytest.raises(CommandError, match="holds no instructions to train on. Choose an imported instruction pool."):
        call_command("iterate", name="Mine", endpoint=endpoint.name, pool=pool.name, detach=True)
    page = on_page(researcher, "/experiments/new/")

    assert "There is no instruction pool yet. Upload one first." in page
    assert not Experiment.objects.exists()


def test_a_pool_that_is_too_small_for_its_use_is_refused_with_both_numbers(researcher):
    endpoint, pool = make_endpoint(), make_pool(rows=10)

    with pytest.raises(CommandError) as refused:
        call_command("iterate", name="Mine", endpoint=endpoint.name, pool=pool.name, detach=True)
    form = initial_from(PRESETS["bundled-demo"].settings) | {"name": "Mine", "endpoint": endpoint.pk, "pool": pool.pk}
    page = plain(researcher.post("/experiments/new/", form))

    field, _, sentence = str(refused.value).partition(": ")
    assert field.startswith("pools.")
    assert sentence in page


def test_an_instruction_too_long_for_the_teacher_is_left_out_and_the_others_go_on(played, researcher, alice):
    def reply(body):
        if len(body["messages"][-1]["content"]) > 90_000:
            return refusal(400, "This model's maximum context length is 8192 tokens", "context_length_exceeded")
        return reply_to(body)

    with fake_teacher(reply) as teacher:
        experiment = experiment_with(alice, teacher.base_url, pools=PoolSettings(heldout=10))
        entry = experiment.pool.entries.order_by("position").first()
        Instruction.objects.filter(pk=entry.instruction_id).update(text="x" * 100_000)
        said = in_terminal(experiment)

    assert "Stage answer of iteration 1: 1 calls failed for good and are left out." in said
    assert "maximum context length is 8192 tokens" in said
    page = on_page(researcher, f"/experiments/{experiment.pk}/")
    assert "1 failed" in page and "maximum context length is 8192 tokens" in page
    assert experiment.iterations.get().finished_at


# verdicts and generation


@pytest.mark.parametrize(("tau", "kind", "other"), [(9.0, "easy", "hard"), (-9.0, "hard", "easy")])
def test_verdicts_of_one_kind_only_are_said_and_all_new_ones_made_from_them(
    tau, kind, other, played, researcher, alice
):
    def reply(body):
        return (
            "Score of the Assistant 1: 5\nScore of the Assistant 2: 5"
            if purpose_of(body) == "review"
            else reply_to(body)
        )

    with fake_teacher(reply) as teacher:
        experiment = experiment_with(alice, teacher.base_url, referee=RefereeSettings(tau=tau))
        said = in_terminal(experiment)

    sentence = f"No instruction was {other}: its share of 4 new instructions is made from {kind} ones instead."
    assert f"Stage generate of iteration 1: {sentence}" in said
    assert sentence in on_page(researcher, f"/experiments/{experiment.pk}/")
    assert experiment.iterations.get().finished_at


def test_without_any_verdict_the_generation_stops_with_its_reason(played, researcher, alice):
    def reply(body):
        return "I would rather not say." if purpose_of(body) == "review" else reply_to(body)

    with fake_teacher(reply) as teacher:
        experiment = experiment_with(alice, teacher.base_url, referee=RefereeSettings(reask=1))
        terminal = in_terminal(experiment)

    assert "No instruction has a verdict" in said_in_both_places(researcher, experiment, terminal)["cause"]
    assert not teacher.asked("generate")
    assert set(paid_prompts(teacher.bodies).values()) == {1}


def test_a_generator_that_yields_nothing_usable_stops_before_it_costs_much(played, researcher, alice):
    with fake_teacher(lambda body: "" if purpose_of(body) == "generate" else reply_to(body)) as teacher:
        experiment = experiment_with(alice, teacher.base_url)
        terminal = in_terminal(experiment)

    assert said_in_both_places(researcher, experiment, terminal)["code"] == "generator_dry"
    assert len(teacher.asked("generate")) <= 5 * 8


# this machine


def lion(*arguments, home):
    environment = {**os.environ, "DATABASE_URL": "", "BROKER_URL": "", "LIONWEB_HOME": str(home)}
    argv = [sys.executable, programs.MANAGE, *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_a_taken_port_ends_the_start_with_2_and_another_to_try(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = lion("up", "--port", str(port), home=tmp_path)

    assert done.returncode == 2
    assert f"Port {port} on 127.0.0.1 is taken." in done.stderr and f"./lion up --port {port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_cannot_be_written_ends_the_start_with_2(tmp_path):
    (tmp_path / "file").touch()

    done = lion("up", "--port", "0", home=tmp_path / "file" / "data")

    assert done.returncode == 2
    assert f"{tmp_path / 'file' / 'data'} cannot be written" in done.stderr and "set LIONWEB_HOME to" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_without_the_stack_says_how_to_start_it(tmp_path):
    done = lion("iterate", "1", home=tmp_path / "nobody")

    assert done.returncode == 2
    assert "The database does not answer" in done.stderr and "./lion up" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_folder_that_can_no_longer_be_written_stops_the_training(played, researcher, alice, settings, tmp_path):
    settings.ARTIFACTS_DIR = tmp_path / "file" / "artifacts"
    (tmp_path / "file").touch()
    with fake_teacher() as teacher:
        experiment = experiment_with(alice, teacher.base_url)
        terminal = in_terminal(experiment)

        error = said_in_both_places(researcher, experiment, terminal)
        assert "cannot be written: Not a directory." in error["cause"]
        assert error["code"] == "training"
        (tmp_path / "file").unlink()
        assert retry(researcher, experiment) is None

    assert set(paid_prompts(teacher.bodies).values()) == {1}


def test_a_disk_that_is_full_before_the_training_is_named_and_the_answers_are_kept(
    played, researcher, alice, monkeypatch
):
    with fake_teacher() as teacher, monkeypatch.context() as patch:
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        patch.setattr(training, "write_examples", Mock(side_effect=full))
        patch.setattr(run_module, "_train", lambda part, lease: part.job())
        experiment = experiment_with(alice, teacher.base_url)
        error = said_in_both_places(researcher, experiment, in_terminal(experiment))

    assert error["code"] == "disk_full" and "is full" in error["cause"]
    assert Response.objects.count() == 18


# the student's base model: real training and real answers


@pytest.fixture(scope="module")
def bare_model(tmp_path_factory):
    """A base model as many are: no chat template, no pad token."""
    from tests.tiny_models import build_tiny_model  # loads torch

    return str(build_tiny_model(tmp_path_factory.mktemp("bare"), chat_template=False, pad_token=False))


def student_settings(base, *, template="auto", **training):
    return {
        "student": StudentSettings(base=base, template=template, temperature=0.0, max_new_tokens=16, batch_size=8),
        "training": TrainingSettings(
            epochs=2, batch_size=2, learning_rate=1e-3, max_length=256, precision="fp32", **training
        ),
    }


def test_a_base_model_without_chat_template_and_pad_token_and_an_endless_instruction_just_work(
    worker, researcher, alice, bare_model
):
    with fake_teacher() as teacher:
        pools = PoolSettings(heldout=2)
        experiment = experiment_with(alice, teacher.base_url, rows=10, pools=pools, **student_settings(bare_model))
        experiment.heldout_pool = make_pool("Held out", rows=2, kind=PoolKind.HELDOUT, start=20)
        experiment.save()
        entry = experiment.pool.entries.first()
        Instruction.objects.filter(pk=entry.instruction_id).update(text="x" * 100_000)
        said = in_terminal(experiment)

    assert experiment.iterations.get().finished_at, said
    assert "prompt_too_long 1" in on_page(researcher, f"/experiments/{experiment.pk}/")
    assert Response.objects.filter(author_kind="student").exclude(text="").exists()


def test_a_chat_template_that_is_not_there_is_named_and_a_clone_pays_no_answer_again(
    worker, researcher, alice, bare_model, monkeypatch
):
    with fake_teacher() as teacher:
        experiment = experiment_with(alice, teacher.base_url, **student_settings(bare_model, template="chat"))
        error = said_in_both_places(researcher, experiment, in_terminal(experiment))
        assert error["code"] == "model_load"
        assert "has no chat template" in error["cause"] and "auto or alpaca" in error["advice"]

        play_the_student(monkeypatch)
        mended = replace(experiment.settings, student=replace(experiment.settings.student, template="auto"))
        clone = make_experiment(alice, "Again", mended, pool=experiment.pool, endpoint=experiment.endpoint)
        in_terminal(clone)

    assert clone.iterations.get().finished_at
    assert set(paid_prompts(teacher.asked("answer")).values()) == {1}


def test_a_base_model_that_is_not_there_is_named(worker, researcher, alice):
    with fake_teacher() as teacher:
        experiment = experiment_with(alice, teacher.base_url, **student_settings("/no/such/model"))
        error = said_in_both_places(researcher, experiment, in_terminal(experiment))

    assert error["code"] == "model_load"
    assert "/no/such/model" in error["cause"]


def test_a_disk_that_fills_up_while_training_costs_only_the_steps_since_the_last_resume_point(
    worker, researcher, alice, bare_model, settings, monkeypatch
):
    on_event, full = Training.on_event, True

    def then_the_disk_is_full(self, event):
        if full and event["event"] == "progress" and event["step"] == 3:
            for child in psutil.Process().children(recursive=True):
                resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
        on_event(self, event)

    monkeypatch.setattr(Training, "on_event", then_the_disk_is_full)
    with fake_teacher() as teacher:
        experiment = experiment_with(alice, teacher.base_url, **student_settings(bare_model, save_every_steps=1))
        kept = add_checkpoint(settings.ARTIFACTS_DIR, experiment)
        error = said_in_both_places(researcher, experiment, in_terminal(experiment))
        assert error["code"] == "disk_full"
        assert Response.objects.filter(author_kind="teacher").count() == 18
        assert not experiment.checkpoints.filter(number=1).exists()
        assert damaged_files(kept) == []

        full = False
        researcher.post(reverse("stage-retry", args=[failed_stage(experiment).pk]))
        until(lambda: experiment.checkpoints.filter(number=1).exists())
        experiment_page = on_page(researcher, f"/experiments/{experiment.pk}/")
        assert re.search(r"resumed from step [1-9]", experiment_page)
        controls.pause(experiment=experiment, actor=alice)

    saved = settings.ARTIFACTS_DIR / experiment.checkpoints.get(number=1).path
    assert damaged_files(saved) == [] and damaged_files(kept) == []
    assert set(paid_prompts(teacher.bodies).values()) == {1}


def add_checkpoint(artifacts, experiment):
    """A checkpoint of an earlier day, beside which the disk fills up."""
    folder = artifacts / f"experiments/{experiment.pk}/checkpoint-0"
    write_checkpoint(folder, lambda draft: (draft / "adapter.safetensors").write_text("x" * 20_000), {})
    return folder


def until(condition):
    give_up = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.1)
