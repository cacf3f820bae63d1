"""A checkpoint: a folder of safetensors with a manifest that names, sizes and hashes every file in it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from distill.bundled import MANIFEST, is_intact
from distill.errors import DiskFull

_PACKAGES = ("torch", "transformers", "peft", "accelerate", "safetensors")
_FULL = ("no space left", "quota exceeded", "file too large")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a checkpoint that holds every file in its full size; None if there is no such checkpoint."""
    if not is_intact(folder):
        return None
    manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    return manifest if "sha256" in manifest else None


def damaged_files(folder: Path) -> list[str]:
    """Files that are missing or whose bytes are not those the manifest was written for."""
    files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    return [name for name, entry in files.items() if _sha256(folder / name) != entry["sha256"]]


def weights_sha256(base: Path) -> str:
    """One hash over the weights of a model folder or file; empty where there is neither."""
    if base.is_dir():
        return _digest({path.name: _entry(path) for path in sorted(base.glob("*.safetensors"))})
    return _sha256(base)


def write_checkpoint(folder: Path, write: Callable[[Path], None], facts: dict[str, Any]) -> dict[str, Any]:
    """Let `write` fill a draft folder, add the manifest and move it into place whole; returns the manifest.

    `sha256` of the manifest is one hash over the names and hashes of all files: equal weights have equal hashes.
    DiskFull: there is no room; the draft is removed and nothing else was touched.
    """
    with draft_folder(folder) as draft:
        write(draft)
        files = {path.name: _entry(path) for path in sorted(draft.iterdir())}
        manifest = {**facts, "packages": _versions(), "files": files, "sha256": _digest(files)}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return manifest


@contextmanager
def draft_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that takes its name, replacing what is there, once the block has run to its end."""
    with disk_full_said(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            yield draft
            draft.chmod(0o755)
            _flush(draft)
            if folder.exists():
                shutil.rmtree(folder)
            draft.rename(folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def disk_full_said(folder: Path) -> Iterator[None]:
    """Turn the errors of a full disk, which safetensors raises in its own way, into DiskFull."""
    try:
        yield
    except Exception as error:
        if any(words in str(error).lower() for words in _FULL):
            raise DiskFull(
                f"The disk that holds {folder.parent} is full.",
                "Free some space and start the stage again: it goes on from its last resume point.",
            ) from error
        raise


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(files: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps({name: one["sha256"] for name, one in files.items()}).encode()).hexdigest()


def _flush(folder: Path) -> None:
    """To the disk itself, so that a rename that survives a power cut never names an empty file."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _versions() -> dict[str, str]:
    known = {}
    for name in _PACKAGES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "not installed"
    return known
