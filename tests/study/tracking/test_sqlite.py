"""MLflow's private parts that study.tracking.sqlite relies on, and the versions they were checked with."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from study.tracking.sqlite import create_database, find_experiment, follow_artifacts

CHECKED = ((3, 10), (3, 17))
"""First and last minor version of MLflow whose tables were checked."""

COLUMNS = {
    "experiments": {"experiment_id", "artifact_location", "lifecycle_stage", "creation_time"},
    "runs": {"run_uuid", "artifact_uri"},
}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A new MLflow database."""
    path = tmp_path / "mlflow.db"
    create_database(path, tmp_path / "mlartifacts")
    return path


def test_the_version_is_one_that_was_checked() -> None:
    major, minor = map(int, mlflow.__version__.split(".")[:2])
    assert CHECKED[0] <= (major, minor) <= CHECKED[1], (
        f"MLflow {mlflow.__version__}: check that the tables and columns of study/tracking/sqlite.py are still there "
        "and mean the same (the tests below), then raise CHECKED"
    )


def test_the_tables_have_the_columns_that_are_read_and_written(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        for table, wanted in COLUMNS.items():
            found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            assert wanted <= found


def test_the_client_sees_corrected_locations_and_the_newest_experiment(database: Path, tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{database}")
    gone = (tmp_path / "gone" / "mlartifacts" / "one").as_uri()
    client.create_experiment("older", artifact_location=(tmp_path / "mlartifacts" / "older").as_uri())
    experiment = client.create_experiment("one", artifact_location=gone)
    run = client.create_run(experiment)
    assert find_experiment(database, None).id == experiment
    assert follow_artifacts(database, tmp_path / "mlartifacts") == 1
    here = (tmp_path / "mlartifacts" / "one").as_uri()
    assert client.get_experiment(experiment).artifact_location == here
    assert str(client.get_run(run.info.run_id).info.artifact_uri).startswith(here)
