from __future__ import annotations

from pathlib import Path

import pytest

from study.records.store import artifact_folder, tracking_uri
from trainables.errors import BadInput


def test_without_a_word_records_are_in_the_storage(tmp_path: Path) -> None:
    uri = tracking_uri(None, tmp_path)
    assert uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert artifact_folder(uri, tmp_path) == tmp_path / "mlartifacts"


def test_the_environment_counts_when_the_study_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(None, tmp_path) == "http://127.0.0.1:5000"
    assert tracking_uri("own.db", tmp_path) == f"sqlite:///{tmp_path}/own.db"


def test_artifacts_are_beside_the_database(tmp_path: Path) -> None:
    uri = tracking_uri(str(tmp_path / "elsewhere" / "x.db"), Path("/data/runs"))
    assert artifact_folder(uri, Path("/data/runs")) == tmp_path / "elsewhere" / "mlartifacts"
    assert artifact_folder("postgresql://host/db", Path("/data/runs")) == Path("/data/runs/mlartifacts")


@pytest.mark.parametrize("form", ["{}", "file://{}", "file:{}"])
def test_a_folder_is_refused(tmp_path: Path, form: str) -> None:
    with pytest.raises(BadInput, match=r"tracking_uri.*is a folder"):
        tracking_uri(form.format(tmp_path), tmp_path)
