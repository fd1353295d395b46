"""Fixtures that several rooms share."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from study.driver import last_signals
from tests import servers
from trainables.core import object_path, url_secrets
from trainables.core.config import TrialConfig
from trainables.testing import small_network

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes outside its folder, apart from the cache of decoded images."""
    monkeypatch.setenv("STUDY_STORAGE", str(tmp_path / "runs"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # a password that one test has used would be masked in the messages of the next
    monkeypatch.setattr(url_secrets, "_secrets", set())
    monkeypatch.setattr(url_secrets, "_full", {})


@pytest.fixture(autouse=True)
def _own_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """No command that runs in the tests' process takes its signals, or ends it after a study."""
    monkeypatch.setattr(last_signals, "hold_signals", lambda: None)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[servers.S3Server]:
    """An S3 server with the bucket ``runs``."""
    if not servers.has_s3():
        pytest.skip("needs moto's server: pip install 'moto[s3,server]'")
    server = servers.S3Server()
    yield server
    server.stop()


@pytest.fixture
def s3(s3_server: servers.S3Server, monkeypatch: pytest.MonkeyPatch) -> servers.S3Server:
    """The S3 server, to which this process's environment leads."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    object_path._file_system.cache_clear()
    return s3_server


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.GcsServer]:
    """A server of Google Cloud Storage with the bucket ``runs``, to which this process's environment leads."""
    if not servers.has_gcs():
        pytest.skip("needs the emulator of Google Cloud Storage")
    server = servers.GcsServer()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.port}")
    object_path._file_system.cache_clear()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.PostgresServer]:
    """A PostgreSQL server with an empty database."""
    if (lacking := servers.lacks_postgres()) is not None:
        pytest.skip(lacking)
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        Path(folder).chmod(0o755)  # root makes it, another user runs the server
        server = servers.PostgresServer(Path(folder) / "server")
        yield server
        server.stop()


MakeTrial = Callable[..., TrialConfig]


@pytest.fixture
def make_trial() -> MakeTrial:
    """Build the configuration of a training on digits that takes a fraction of a second."""

    def make(method: str = "erm", *, seed: int = 0, data: dict[str, Any] | None = None, **training: Any) -> TrialConfig:
        return TrialConfig.model_validate(
            {
                "data": {
                    "dataset": "digits",
                    "profile": {"kind": "long_tail", "ratio": 10},
                    "validation_fraction": 0.2,
                    **(data or {}),
                },
                "model": {"name": small_network(method)},
                "method": {"name": method},
                "training": {"epochs": 2, "batch_size": 64, "lr": 0.05, "precision": "float32", **training},
                "seed": seed,
            }
        )

    return make
