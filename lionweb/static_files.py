"""Static files with hashed names. Collecting them takes seconds, so it is done when one of them has changed."""

import hashlib
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from whitenoise.storage import CompressedManifestStaticFilesStorage


class Storage(CompressedManifestStaticFilesStorage):
    manifest_strict = False
    # Vendored files name source maps that their wheels do not ship; their comments are left as they are.
    patterns = ()


def is_current() -> bool:
    marker = _marker()
    return marker.exists() and marker.read_text() == _fingerprint()


def mark_current() -> None:
    _marker().write_text(_fingerprint())


def _marker() -> Path:
    return Path(settings.STATIC_ROOT) / ".collected"


def _fingerprint() -> str:
    """Names, sizes and times of all source files."""
    lines = []
    for finder in get_finders():
        for path, storage in finder.list(ignore_patterns=["*.map"]):
            stat = Path(storage.path(path)).stat()
            lines.append(f"{path} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
