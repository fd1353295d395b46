from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from study.spec.study_spec import StudySpec
from study.store.study_check import check_study
from study.store.study_folder import StudyFolder, storage_root
from trainables.core.errors import BadInput
from trainables.core.storage_path import storage_path

MakeSpec = Callable[..., StudySpec]


def _stored(storage: Path, spec: StudySpec) -> StudyFolder:
    folder = StudyFolder(storage, spec.name)
    with folder.driver_lock():
        folder.create(spec, {"digits/long_tail-10": "abc"})
    return folder


def test_the_storage_is_what_is_given_or_the_environments_or_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert storage_root(Path("given")) == tmp_path / "given"
    monkeypatch.setenv("STUDY_STORAGE", str(tmp_path / "env"))
    assert storage_root(None) == tmp_path / "env"
    assert storage_root(Path("given")) == tmp_path / "given"
    monkeypatch.delenv("STUDY_STORAGE")
    assert storage_root(None) == tmp_path / "runs"


def test_what_is_stored_is_read_back(tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec(methods=["ldam-drw"], search={"training": {"lr": {"low": 0.1, "high": 1}}})
    folder = _stored(tmp_path / "new" / "storage", spec)
    assert folder.path == tmp_path / "new" / "storage" / "tiny"
    assert folder.read_spec() == spec
    assert folder.read_spec(("search.trials=9",)).search.trials == 9
    assert folder.read_data() == {"digits/long_tail-10": "abc"}


@pytest.mark.parametrize("transfer", [True, False])
def test_a_stored_study_keeps_its_transfer_whatever_the_default(
    transfer: bool, tmp_path: Path, make_spec: MakeSpec
) -> None:
    stored = _stored(tmp_path, make_spec(search={"searcher": "ratio-gp", "transfer": transfer}))
    assert stored.read_spec(("search.trials=40",)).search.transfer is transfer
    assert stored.read_spec(to_train=True).search.transfer is transfer


def test_naming_a_folder_writes_nothing(tmp_path: Path) -> None:
    StudyFolder(tmp_path / "runs", "s").refuse_taken()
    assert not (tmp_path / "runs").exists()


def test_a_name_is_taken_once(tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = _stored(tmp_path, make_spec())
    with pytest.raises(
        BadInput, match=r"'tiny' exists already in .*: continue it with `study resume tiny --storage .*`"
    ):
        folder.refuse_taken()
    with folder.driver_lock(), pytest.raises(BadInput, match="exists already"):
        folder.create(make_spec("seed=9"), {})
    assert folder.read_spec() == make_spec()


def test_a_study_whose_file_was_never_written_does_not_exist(tmp_path: Path, make_spec: MakeSpec) -> None:
    """A kill before the study file was written, which is the last step."""
    folder = _stored(tmp_path, make_spec())
    folder.spec_path.unlink()
    folder.refuse_taken()
    with pytest.raises(BadInput, match="no study 'tiny'"):
        folder.read_spec()
    assert _stored(tmp_path, make_spec("seed=9")).read_spec().seed == 9


@pytest.mark.parametrize("left", ["cells", "ledger.journal"])
def test_the_remains_of_a_study_are_not_taken_over(left: str, tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = _stored(tmp_path, make_spec())
    folder.spec_path.unlink()
    (folder.path / left).mkdir()
    for attempt in (folder.refuse_taken, folder.read_spec):
        with pytest.raises(BadInput, match=rf"{folder.spec_path}: is missing, but {left} of the study are there"):
            attempt()


def test_an_unknown_study_gets_the_nearest_name(tmp_path: Path, make_spec: MakeSpec) -> None:
    for name in ("mnist-affinity", "cifar-lt"):
        _stored(tmp_path, make_spec(name=name))
    with pytest.raises(BadInput) as caught:
        StudyFolder(tmp_path, "mnist-afinity").read_spec()
    message = str(caught.value)
    assert "no study 'mnist-afinity'" in message
    assert str(tmp_path) in message
    assert "did you mean 'mnist-affinity'?" in message
    assert "Stored: cifar-lt, mnist-affinity" in message


def test_an_empty_storage_has_no_studies(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Stored: none"):
        StudyFolder(tmp_path / "nowhere", "s").read_spec()


def test_a_stored_file_that_was_damaged_is_named(tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = _stored(tmp_path, make_spec())
    folder.spec_path.write_text("name: tiny\nsearch: {trails: 3}\n")
    with pytest.raises(BadInput, match=f"{folder.spec_path}: .*"):
        folder.read_spec()


@pytest.mark.parametrize("content", [None, "", "{"])
def test_data_that_were_damaged_are_named(content: str | None, tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = _stored(tmp_path, make_spec())
    place = folder.path / "data.json"
    place.unlink() if content is None else place.write_text(content)
    with pytest.raises(BadInput, match=r"data\.json: cannot be read"):
        folder.read_data()


@pytest.mark.parametrize("place", ["file/below", "/proc/nowhere", "/dev/null/x"])
def test_a_storage_without_write_access_is_bad_input(place: str, tmp_path: Path, make_spec: MakeSpec) -> None:
    (tmp_path / "file").write_text("")
    storage = tmp_path / place
    folder = StudyFolder(storage, "tiny")
    folder.refuse_taken()
    with pytest.raises(BadInput, match="cannot write to the storage folder") as caught, folder.driver_lock():
        pass
    assert str(storage) in str(caught.value)
    assert not storage.exists()


_DRIVE = """
import sys, time
from pathlib import Path
from study.store.study_folder import StudyFolder
with StudyFolder(Path(sys.argv[1]), "tiny").driver_lock():
    print("driving", flush=True)
    time.sleep(600)
"""


def test_one_process_drives_until_it_dies(tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = _stored(tmp_path, make_spec())
    assert not folder.is_driven()
    with subprocess.Popen([sys.executable, "-c", _DRIVE, str(tmp_path)], stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"driving\n"
        assert folder.is_driven()
        with (
            pytest.raises(BadInput, match=f"run by another process now: process {driver.pid} on "),
            folder.driver_lock(),
        ):
            pass
        os.kill(driver.pid, signal.SIGKILL)
    assert not folder.is_driven()
    with folder.driver_lock():
        pass


def test_looking_does_not_hold_the_lock(tmp_path: Path, make_spec: MakeSpec) -> None:
    folder = _stored(tmp_path, make_spec())
    assert not folder.is_driven()
    with folder.driver_lock():
        assert folder.is_driven()
    assert not folder.is_driven()


def test_a_study_that_was_never_driven_is_not(tmp_path: Path) -> None:
    assert not StudyFolder(tmp_path, "none").is_driven()


def test_a_command_to_copy_names_the_storage_unless_it_is_the_usual_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STUDY_STORAGE", raising=False)
    assert StudyFolder(tmp_path / "runs", "tiny").command("resume") == "study resume tiny"
    assert (
        StudyFolder(tmp_path / "my runs", "tiny").command("show") == f"study show tiny --storage '{tmp_path}/my runs'"
    )
    monkeypatch.setenv("STUDY_STORAGE", "s3://bucket/runs")
    assert StudyFolder(storage_path("s3://bucket/runs"), "tiny").command("record") == "study record tiny"
    monkeypatch.setenv("STUDY_STORAGE", "nonsense://x")
    assert StudyFolder(tmp_path / "runs", "tiny").command("resume").endswith(f"--storage {tmp_path}/runs")


@pytest.mark.parametrize("name", ["study.yaml", "format.json", "ledger.journal", "driver.lock"])
def test_a_pipe_in_the_place_of_a_file_is_refused(name: str, make_spec: MakeSpec, tmp_path: Path) -> None:
    folder = _stored(tmp_path, make_spec())
    (folder.path / name).unlink(missing_ok=True)
    os.mkfifo(folder.path / name)
    said = f"{folder.path / name}: cannot be read \\(not a regular file\\); put back a copy of it"
    for read in (folder.read_spec, lambda: check_study(folder)):
        with pytest.raises(BadInput, match=said):
            read()
