"""Damaged tracking files: one message names the file and the remedy, and the study continues without MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from study.tracking import Recorder, record_study
from study.tracking.client import open_client
from study.tracking.server import serve
from study.tracking.sqlite import check_database
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "not a database": lambda whole: b"rubbish " * 1000,
    "cut in the middle": lambda whole: whole[: len(whole) // 2],
    "cut in its head": lambda whole: whole[:50],
}


@pytest.fixture(params=list(DAMAGES.values()), ids=list(DAMAGES))
def damaged(request: pytest.FixtureRequest, storage: Path) -> Path:
    database = storage / "mlflow.db"
    database.write_bytes(request.param(database.read_bytes()))
    return database


def test_a_damaged_database_is_named_with_the_way_out(damaged: Path, made: MadeStudy) -> None:
    made.complete()
    with pytest.raises(BadInput, match=rf"{damaged}: cannot be read .*; put back a copy of it, or move it away"):
        record_study(made.folder)
    with pytest.raises(BadInput, match=str(damaged)):
        serve(made.folder.storage, host="127.0.0.1", port=5001)


def test_a_study_goes_on_without_records(damaged: Path, made: MadeStudy, empty_database: Path) -> None:
    said: list[str] = []
    recorder = Recorder(made.folder.storage, made.spec, made.ledger, warn=said.append)
    trials = [made.complete(), made.complete("erm")]
    for trial in trials:
        recorder.touch(trial, True)
    assert recorder.close() == sorted(trial.key for trial in trials)
    assert said[0].startswith(f"tracking is off, the study continues: {damaged}: cannot be read")
    assert sum("tracking is off" in line for line in said) == 1
    assert said[-1] == f"2 trials are not in MLflow yet; run: {made.folder.command('record')}"

    damaged.write_bytes(empty_database.read_bytes())
    assert record_study(made.folder).written == 2


@pytest.mark.parametrize("content", ["", "{", "[]", '{"other": 1}', "\xff"])
def test_a_damaged_id_is_named_with_the_way_out(content: str, made: MadeStudy) -> None:
    place = made.folder.path / "records.json"
    place.write_text(content, encoding="latin-1")
    trial, said = made.complete(), list[str]()
    with pytest.raises(BadInput, match=rf"{place}: cannot be read .*; put back a copy of it, or remove it"):
        record_study(made.folder)
    recorder = Recorder(made.folder.storage, made.spec, made.ledger, warn=said.append)
    assert recorder.close() == [trial.key]
    assert said[0].startswith(f"tracking is off, the study continues: {place}")
    assert place.read_text(encoding="latin-1") == content
    place.unlink()
    assert record_study(made.folder).written == 1


def test_an_empty_database_is_filled(made: MadeStudy) -> None:
    made.complete()
    (made.folder.storage / "mlflow.db").write_bytes(b"")
    assert record_study(made.folder).written == 1


def test_damage_further_in_is_one_message_too(made: MadeStudy) -> None:
    """A database with an intact header and damaged pages."""
    made.complete()
    database = made.folder.storage / "mlflow.db"
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + b"x" * (len(whole) - 4096))
    with pytest.raises(BadInput, match=r"mlflow\.db|MLflow cannot"):
        record_study(made.folder)


def test_a_database_that_is_being_written_counts_as_whole(storage: Path) -> None:
    import sqlite3

    writer = sqlite3.connect(storage / "mlflow.db")
    try:
        writer.execute("BEGIN IMMEDIATE")
        check_database(storage / "mlflow.db")
    finally:
        writer.close()
    assert open_client(f"sqlite:///{storage / 'mlflow.db'}", storage).search_experiments()


def test_a_folder_that_cannot_be_locked_is_named(made: MadeStudy) -> None:
    made.complete()
    (made.folder.path / "records.lock").mkdir()
    with pytest.raises(BadInput, match=f"cannot write to the study's folder {made.folder.path}"):
        record_study(made.folder)


def test_a_place_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(records={"tracking_uri": "/proc/nowhere/mlflow.db"}))  # not even by root
    made.complete()
    with pytest.raises(BadInput, match=r"^MLflow's records in /proc/nowhere.* cannot be written: "):
        record_study(made.folder)


def test_damage_in_every_page_is_one_message(made: MadeStudy) -> None:
    made.complete()
    record_study(made.folder)
    database = made.folder.storage / "mlflow.db"
    whole = database.read_bytes()
    for page in (1, 2, 5, 20):
        database.write_bytes(whole[: page * 4096] + b"\xff" * (len(whole) - page * 4096))
        with pytest.raises(BadInput) as caught:
            record_study(made.folder)
        assert len(str(caught.value).splitlines()) == 1
