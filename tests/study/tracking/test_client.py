from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from study.tracking.client import artifact_folder, open_client, tracking_uri
from trainables.core.errors import BadInput


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


_OPEN = """
import sys
from pathlib import Path
from study.tracking.client import open_client
path = Path(sys.argv[1])
print("ready", flush=True)
open_client(f"sqlite:///{path}", path.parent)
"""


def test_killed_while_the_tables_are_built_the_next_one_builds_them(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    with subprocess.Popen([sys.executable, "-c", _OPEN, str(path)], stdout=subprocess.PIPE) as process:
        end = time.monotonic() + 60
        while not any(file.stat().st_size > 20_000 for file in tmp_path.glob(".mlflow.db.partial")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.005)
        process.kill()
    assert not path.exists()
    assert open_client(f"sqlite:///{path}", tmp_path).search_experiments()[0].name == "Default"
    assert sorted(file.name for file in tmp_path.iterdir()) == [".mlflow.db.lock", "mlflow.db"]


def test_two_at_once_build_the_tables_once(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    processes = [subprocess.Popen([sys.executable, "-c", _OPEN, str(path)]) for _ in range(2)]
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(open_client(f"sqlite:///{path}", tmp_path).search_experiments()) == 1
