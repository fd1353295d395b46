from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fault_lab import Lab
from tests.servers import S3Server
from trainables.core.object_path import ObjectPath


@pytest.fixture
def lab_on_s3(tmp_path: Path, s3: S3Server) -> Iterator[Lab]:
    """A lab whose studies lie on object storage."""
    ray_folder = Path(tempfile.mkdtemp(prefix="ray-"))
    folder = tmp_path / "on-s3"
    folder.mkdir()
    made = Lab(folder, ray_folder, ObjectPath.parsed(f"s3://runs/{tmp_path.name}"))
    yield made
    made.stop_all()
    shutil.rmtree(ray_folder, ignore_errors=True)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A storage folder; after the test, every process that it started is stopped."""
    ray_folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, as the paths of sockets are limited
    made = Lab(tmp_path, ray_folder)
    yield made
    made.stop_all()
    shutil.rmtree(ray_folder, ignore_errors=True)
