from __future__ import annotations

import os
from pathlib import Path

import pytest

from study.driver.driver import _writing
from study.driver.places import keep_passwords, password_notes, with_places
from study.spec.limited_yaml import STORED
from study.spec.study_spec import RecordsSpec
from study.spec.yaml_io import read_yaml, write_yaml
from study.store.study_folder import StudyFolder
from tests.study.made_study import spec_of
from trainables.core.errors import BadInput

_URL = "postgresql+psycopg://me:pass-word-55@host/study"
_SERVER = "https://me:server-word-55@mlflow.example.org"


def test_the_environment_names_the_places_of_a_study_that_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", _URL)
    monkeypatch.setenv("STUDY_TRACKING_URI", "http://127.0.0.1:5000")
    records = with_places(spec_of()).records
    assert records.ledger == "postgresql+psycopg://me@host/study" and records.tracking_uri == "http://127.0.0.1:5000"
    assert password_notes(with_places(spec_of())) == []


def test_the_study_file_s_own_places_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", _URL)
    own = spec_of(records={"ledger": "sqlite:///mine.db", "tracking_uri": "mine.db"})
    assert with_places(own) == own


def test_without_a_word_nothing_changes() -> None:
    assert with_places(spec_of()) == spec_of()


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_LEDGER", "postgresql://a:secret-1@b@host/x")
    with pytest.raises(BadInput, match=r"^STUDY_LEDGER: the URL holds several '@'") as caught:
        with_places(spec_of())
    assert "secret-1" not in str(caught.value)


def test_a_password_in_the_file_is_used_and_never_stored(tmp_path: Path) -> None:
    spec = spec_of("secretive", records={"ledger": _URL, "tracking_uri": _SERVER})
    folder = StudyFolder(tmp_path, "secretive")
    with folder.driver_lock():
        folder.create(spec, {})
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert b"word-55" not in file.read_bytes()
    for text in (repr(spec), str(spec.model_dump()), spec.model_dump_json(), write_yaml(spec.model_dump(mode="json"))):
        assert "word-55" not in text
    assert read_yaml(folder.spec_path, STORED)["records"]["ledger"] == "postgresql+psycopg://me@host/study"
    ledger, server = password_notes(spec)
    assert ledger.startswith("records.ledger: the password in this URL is used now but never stored")
    assert "STUDY_LEDGER" in ledger and "PGPASSWORD" in ledger and "MLFLOW_TRACKING_PASSWORD" in server


def test_a_process_that_replaces_this_one_knows_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STUDY_LEDGER", "STUDY_TRACKING_URI"):
        monkeypatch.setenv(name, "")  # so that what is set here is taken back
    keep_passwords(spec_of(records={"ledger": _URL}))
    assert os.environ["STUDY_LEDGER"] == _URL and os.environ["STUDY_TRACKING_URI"] == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_storage_folder_is_one_error(tmp_path: Path) -> None:
    with (
        pytest.raises(BadInput, match=r"^cannot write to the storage folder .*: No space left on device"),
        _writing(tmp_path),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ConnectionResetError), _writing(tmp_path):
        raise ConnectionResetError


def test_a_connection_string_is_in_no_error_of_the_class() -> None:
    with pytest.raises(ValueError, match="ledger") as caught:
        RecordsSpec(ledger="host=h password=pass-word-56")
    assert "word-56" not in str(caught.value)
