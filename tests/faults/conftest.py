from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fault_lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A storage, and the promise that no process outlives the test."""
    ray_folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short: it holds sockets, whose paths may not be long
    made = Lab(tmp_path, ray_folder)
    yield made
    made.stop_all()
    shutil.rmtree(ray_folder, ignore_errors=True)
