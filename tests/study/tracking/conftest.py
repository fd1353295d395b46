"""Fixtures with a stored study, and its content in MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from study.tracking.client import open_client
from tests.study.made_study import MadeStudy

Dump = dict[str, dict[str, Any]]


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without runs; creating it takes seconds, so it is created once and copied."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    open_client(f"sqlite:///{path}", path.parent).search_experiments()
    return path


@pytest.fixture
def storage(tmp_path: Path, empty_database: Path) -> Path:
    path = tmp_path / "runs"
    path.mkdir()
    shutil.copy(empty_database, path / "mlflow.db")
    return path


@pytest.fixture
def made(storage: Path) -> MadeStudy:
    return MadeStudy(storage)


@pytest.fixture
def client(storage: Path) -> MlflowClient:
    return open_client(f"sqlite:///{storage / 'mlflow.db'}", storage)


@pytest.fixture
def dump(client: MlflowClient) -> Callable[[], Dump]:
    """Read the runs of all studies from MLflow: name of the trial or cell -> content of its run."""

    def files(run: str, folder: str | None = None) -> list[str]:
        found: list[str] = []
        for item in client.list_artifacts(run, folder):
            found += files(run, item.path) if item.is_dir else [item.path]
        return found

    def read() -> Dump:
        experiments = [e.experiment_id for e in client.search_experiments()]
        found: Dump = {}
        for run in client.search_runs(experiments, max_results=1000):
            key = run.data.tags.get("study.trial") or run.data.tags["study.summary"]
            assert key not in found, f"two runs of {key}"
            found[key] = {
                "id": run.info.run_id,
                "status": run.info.status,
                "start": run.info.start_time,
                "end": run.info.end_time,
                "params": run.data.params,
                "tags": run.data.tags,
                "metrics": {
                    name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]
                    for name in run.data.metrics
                },
                "artifacts": sorted(files(run.info.run_id)),
                "name": run.info.run_name,
                "inputs": [(i.dataset.name, i.dataset.digest, i.dataset.profile) for i in run.inputs.dataset_inputs],
            }
        return found

    return read
