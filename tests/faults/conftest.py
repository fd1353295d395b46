from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fault_lab import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A storage folder; after the test, every process that it started is stopped."""
    ray_folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, as the paths of sockets are limited
    made = Lab(tmp_path, ray_folder)
    yield made
    made.stop_all()
    shutil.rmtree(ray_folder, ignore_errors=True)
