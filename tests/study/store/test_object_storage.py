"""Studies on S3 with their ledger in PostgreSQL, read by everything that reads a stored study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from study.driver import driver
from study.driver.trial_packing import TrialPacker
from study.report.confirmed_results import confirmed_tables
from study.report.confirmed_tables import report_as_json
from study.report.export import export_study
from study.report.leaderboard import leaderboard_as_json
from study.report.status import overview, status_of
from study.store.removal import holdings, remove_study
from study.store.study_folder import StudyFolder, storage_root, stored_names
from study.store.study_view import open_view
from tests.servers import PostgresServer, S3Server
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput
from trainables.core.object_path import ObjectPath
from trainables.core.storage_path import StoragePath, files_below


def _made(storage: StoragePath, ledger: str | None) -> MadeStudy:
    """A study with trials of every end and a confirmation, half of them bundled."""
    spec = spec_of(confirm={"seeds": 2}, records={"ledger": ledger, "tracking_uri": "http://127.0.0.1:1"})
    made = MadeStudy(storage, spec)
    made.complete()
    made.prune()
    made.fail("loss is nan", epochs=1)
    packer = TrialPacker(made.folder.path / "cells", made.ledger, warn=pytest.fail, leftovers=True)
    packer.close()
    made.complete()
    for _ in range(4):
        made.complete("erm")
    made.confirm(lambda trial: 0.5 + trial.seed % 7 / 100 if trial.seed else 0.5)
    return made


def _answers(storage: StoragePath, tmp_path: Path) -> dict[str, Any]:
    folder = StudyFolder(storage, "made")
    to = tmp_path / "made.parquet"
    export_study(folder, to, force=True)
    return {
        "overview": overview(storage),
        "status": status_of(storage, "made"),
        "leaderboard": leaderboard_as_json(open_view(folder)),
        "report": report_as_json(confirmed_tables(open_view(folder))),
        "export": repr(pq.read_table(to).to_pylist()),
    }


@pytest.fixture
def on_s3(s3: S3Server, tmp_path: Path) -> StoragePath:
    """An empty prefix on S3."""
    return storage_root(f"s3://runs/{tmp_path.name}")


def test_a_study_on_s3_reads_as_one_in_a_folder_and_can_be_removed(
    on_s3: StoragePath, postgres: PostgresServer, tmp_path: Path
) -> None:
    made = _made(on_s3, postgres.url)
    _made(tmp_path, None)
    found, wanted = _answers(on_s3, tmp_path), _answers(tmp_path, tmp_path)
    assert json.dumps(found, default=str) == json.dumps(wanted, default=str)

    with made.folder.driver_lock():
        other = StudyFolder(on_s3, "made")
        assert other.is_driven()
        with pytest.raises(BadInput, match="is being run by another process"):
            remove_study(other)
    about = holdings(StudyFolder(on_s3, "made"))
    assert about.trials == holdings(StudyFolder(tmp_path, "made")).trials
    assert about.ledger == postgres.url
    remove_study(StudyFolder(on_s3, "made"))
    assert stored_names(on_s3) == [] and list(files_below(on_s3)) == []
    with pytest.raises(BadInput, match="no study 'made' in s3://"):
        open_view(StudyFolder(on_s3, "made"))


def test_what_a_killed_removal_left_does_not_enter_a_new_study(on_s3: StoragePath, postgres: PostgresServer) -> None:
    left = on_s3 / "made" / "cells/digits/long_tail-10/erm/confirm/00000/trial.json"
    left.write_bytes(b"{}")
    folder = StudyFolder(on_s3, "made", ledger=postgres.url)
    with folder.driver_lock():
        folder.remove_leftovers()
    assert not left.exists()


@pytest.mark.parametrize("ledger", [None, "sqlite:////tmp/ledger.db"])
def test_a_study_on_s3_without_postgresql_is_refused(ledger: str | None, on_s3: StoragePath) -> None:
    spec = spec_of(records={"ledger": ledger, "tracking_uri": "http://127.0.0.1:1"})
    with pytest.raises(BadInput, match=r"needs a PostgreSQL database.*--set records\.ledger=postgresql") as caught:
        driver.run(spec, on_s3, address=None, console=Console(quiet=True))
    assert "\n" not in str(caught.value)
    assert list(files_below(on_s3)) == []


def test_a_study_on_s3_without_a_place_for_mlflow_is_refused(on_s3: StoragePath, postgres: PostgresServer) -> None:
    with pytest.raises(BadInput, match=r"records\.tracking_uri: studies on object storage .* need an MLflow server"):
        driver.run(spec_of(records={"ledger": postgres.url}), on_s3, address=None, console=Console(quiet=True))
    assert list(files_below(on_s3)) == []


def test_a_storage_that_may_be_read_but_not_written_is_refused(
    on_s3: StoragePath, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(path: ObjectPath, *, writing: bool) -> None:
        if writing:
            raise BadInput(f"storage '{path}': access is refused")

    monkeypatch.setattr(ObjectPath, "check", refuses)
    spec = spec_of(records={"ledger": postgres.url, "tracking_uri": "http://127.0.0.1:1"})
    with pytest.raises(BadInput, match="access is refused"):
        driver.run(spec, on_s3, address=None, console=Console(quiet=True))
    assert list(files_below(on_s3)) == []
