import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def folder():
    """A data folder with a short path, because the paths of pytest are too long for sockets."""
    path = Path(tempfile.mkdtemp(prefix="lw ")).resolve()
    yield path / "data"
    shutil.rmtree(path)
