"""After a storage folder is moved, renamed or copied, MLflow finds its artifacts in the new place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

from study.ledger.cell_ledger import Assignment
from study.store.study_folder import StudyFolder
from study.tracking import record_study
from study.tracking.client import open_client
from study.tracking.sqlite import find_experiment, follow_artifacts
from tests.study.made_study import MadeStudy, spec_of


def _move(old: Path, new: Path) -> None:
    old.rename(new)
    _artifact_repos_cache.clear()  # MLflow caches per process, and a move happens between two processes


def client_of(storage: Path) -> MlflowClient:
    return open_client(f"sqlite:///{storage / 'mlflow.db'}", storage)


def pictures(client: MlflowClient, storage: Path) -> int:
    """Count the trials whose picture MLflow finds, and check that it lies in the storage."""
    runs = client.search_runs([e.experiment_id for e in client.search_experiments()], "tags.`study.trial` != ''")
    assert all(run.info.artifact_uri.startswith((storage / "mlartifacts").as_uri()) for run in runs)
    listed = ([a.path for a in client.list_artifacts(run.info.run_id, "validation")] for run in runs)
    return sum("validation/confusion.png" in paths for paths in listed)


@pytest.fixture
def trials(made: MadeStudy) -> list[Assignment]:
    done = [made.complete(), made.complete("erm")]
    record_study(made.folder)
    return done


@pytest.mark.parametrize("name", ["other", "a place with spaces, ü and 100%"])
def test_a_moved_storage(name: str, made: MadeStudy, trials: list[Assignment], tmp_path: Path) -> None:
    storage = tmp_path / name
    _move(made.folder.storage, storage)
    assert pictures(client_of(storage), storage) == 2

    again = record_study(StudyFolder(storage, "made"))
    assert (again.written, again.there) == (0, 2)
    assert not made.folder.storage.exists()  # nothing was written to the old place


def test_what_is_recorded_after_a_move_lies_beside_the_rest(
    made: MadeStudy, trials: list[Assignment], tmp_path: Path
) -> None:
    waiting = made.complete()
    storage = tmp_path / "other"
    _move(made.folder.storage, storage)
    assert record_study(StudyFolder(storage, "made")).written == 1
    assert pictures(client_of(storage), storage) == 3
    assert waiting.number == 1


def test_a_copy_shows_its_own_and_leaves_the_first_alone(
    made: MadeStudy, trials: list[Assignment], tmp_path: Path
) -> None:
    shutil.copytree(made.folder.storage, tmp_path / "copy")
    _artifact_repos_cache.clear()
    assert pictures(client_of(tmp_path / "copy"), tmp_path / "copy") == 2
    _artifact_repos_cache.clear()
    assert pictures(client_of(made.folder.storage), made.folder.storage) == 2


def test_nothing_is_changed_where_nothing_moved(made: MadeStudy, trials: list[Assignment], tmp_path: Path) -> None:
    storage = made.folder.storage
    before = (storage / "mlflow.db").read_bytes()
    assert follow_artifacts(storage / "mlflow.db", storage / "mlartifacts") == 0
    # only the database was moved: its artifacts are still in the old place
    (tmp_path / "alone").mkdir()
    shutil.copy(storage / "mlflow.db", tmp_path / "alone")
    assert follow_artifacts(tmp_path / "alone" / "mlflow.db", tmp_path / "alone" / "mlartifacts") == 0
    assert (storage / "mlflow.db").read_bytes() == before


def test_the_newest_study_is_known(made: MadeStudy, trials: list[Assignment]) -> None:
    database = made.folder.storage / "mlflow.db"
    first = find_experiment(database)
    later = MadeStudy(made.folder.storage, spec_of("later"))
    later.complete()
    record_study(later.folder)
    assert first is not None and first.name == "made" and first.views == {"cells", "trials"}
    assert find_experiment(database, "made") == first
    newest = find_experiment(database)
    assert newest is not None and (newest.name, int(newest.id)) == ("later", int(first.id) + 1)


def test_without_a_study_none_is_newest(storage: Path) -> None:
    assert find_experiment(storage / "mlflow.db") is None
