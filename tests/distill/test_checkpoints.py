"""A checkpoint is there whole or not at all, and can be checked file by file."""

import subprocess
import sys

import pytest

from distill.checkpoints import damaged_files, read_manifest, weights_sha256, write_checkpoint
from distill.errors import DiskFull


def weights(content=b"weights"):
    return lambda folder: (folder / "adapter_model.safetensors").write_bytes(content)


def test_the_manifest_names_sizes_and_hashes_every_file(tmp_path):
    manifest = write_checkpoint(tmp_path / "checkpoint", weights(), {"base": "bundled"})

    assert read_manifest(tmp_path / "checkpoint") == manifest
    assert manifest["base"] == "bundled"
    assert manifest["files"]["adapter_model.safetensors"]["bytes"] == 7
    assert manifest["packages"].keys() >= {"torch", "transformers", "peft"}
    assert damaged_files(tmp_path / "checkpoint") == []


def test_equal_weights_have_equal_hashes_and_others_do_not(tmp_path):
    hashes = [
        write_checkpoint(tmp_path / str(n), weights(content), {"n": n})["sha256"]
        for n, content in enumerate((b"a", b"a", b"b"))
    ]

    assert hashes[0] == hashes[1] != hashes[2]


def test_a_changed_byte_is_found(tmp_path):
    write_checkpoint(tmp_path / "checkpoint", weights(), {})
    (tmp_path / "checkpoint" / "adapter_model.safetensors").write_bytes(b"weighty")

    assert damaged_files(tmp_path / "checkpoint") == ["adapter_model.safetensors"]


def test_a_shortened_or_missing_file_makes_it_no_checkpoint(tmp_path):
    write_checkpoint(tmp_path / "checkpoint", weights(), {})
    (tmp_path / "checkpoint" / "adapter_model.safetensors").write_bytes(b"w")

    assert read_manifest(tmp_path / "checkpoint") is None
    assert read_manifest(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError(122, "Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_said_and_leaves_what_was_there(tmp_path, error):
    before = write_checkpoint(tmp_path / "checkpoint", weights(), {})

    def fill(folder):
        (folder / "half").write_bytes(b"half")
        raise error

    with pytest.raises(DiskFull, match="full. Free some space"):
        write_checkpoint(tmp_path / "checkpoint", fill, {})

    assert read_manifest(tmp_path / "checkpoint") == before
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_any_other_fault_while_writing_keeps_its_name_and_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_checkpoint(tmp_path / "checkpoint", lambda folder: 1 / 0, {})

    assert list(tmp_path.iterdir()) == []


def test_the_hash_of_a_base_follows_its_weights(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"a")
    first = weights_sha256(tmp_path)
    (tmp_path / "notes.txt").write_text("not a weight")

    assert weights_sha256(tmp_path) == first != ""
    assert weights_sha256(tmp_path / "model.safetensors") not in ("", first)
    assert weights_sha256(tmp_path / "nowhere") == ""


def test_neither_manifests_nor_the_client_need_torch():
    code = "import sys, distill.checkpoints, distill.training_client; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
