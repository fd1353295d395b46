"""The real command reports bad input with exit code 2, before Ray starts, and leaves no files behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.spec.study_spec import StudySpec
from study.spec.yaml_io import write_yaml
from study.store.study_folder import StudyFolder

Make = Callable[..., dict[str, Any]]


class Command:
    """Runs ``study`` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.storage = folder, folder / "runs"

    def write(self, mapping: dict[str, Any]) -> Path:
        (self.folder / "my.yaml").write_text(write_yaml(mapping))
        return self.folder / "my.yaml"

    def refused(self, *words: str | Path, storage: Path | None = None, data_dir: Path | None = None) -> str:
        """Run the command, check its exit code, imports and files, and return its message."""
        before = self._files()
        environment = {
            **os.environ,
            "STUDY_STORAGE": str(storage or self.storage),
            "STUDY_CACHE_DIR": str(self.folder / "cache"),
            "RAY_TMPDIR": str(self.folder / "ray"),
            "PYTHONPROFILEIMPORTTIME": "1",
        }
        environment.pop("STUDY_DATA_DIR", None)
        if data_dir is not None:
            environment["STUDY_DATA_DIR"] = str(data_dir)
        done = subprocess.run(
            [sys.executable, "-m", "study.cli.app", *map(str, words)],
            env=environment,
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            timeout=120,
        )
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
        said = "\n".join(line for line in done.stderr.splitlines() if "import time:" not in line)
        assert done.returncode == 2, (done.returncode, done.stdout, said)
        assert "Traceback" not in said
        assert not {"ray", "mlflow"} & imported
        assert self._files() == before
        assert said.startswith("error: ")
        return said

    def _files(self) -> dict[Path, bytes]:
        places = (p for p in self.folder.rglob("*") if p.is_file() and "cache" not in p.parts)
        return {path: path.read_bytes() for path in places}


@pytest.fixture
def command(tmp_path: Path) -> Command:
    return Command(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"methods": ["erm", "lddam"]}, ["methods[1]", "unknown method 'lddam'", "did you mean 'ldam'?", "Allowed:"]),
        ({"data": [{"dataset": "digit", "profiles": [{"ratio": 10}]}]}, ["data[0]", "'digit'", "mean 'digits'?"]),
        ({"traning": {}}, ["unknown key 'traning'", "did you mean 'training'?"]),
        ({"search": {"metric": "balanced_acc"}}, ["search.metric", "'balanced_acc'", "mean 'balanced_accuracy'?"]),
        ({"data": [{"dataset": "digits", "profiles": [{"ratio": 0.1}]}]}, ["data[0].profiles[0]", ">= 1, got 0.1"]),
        ({"methods": [{"name": "cce", "params": {"gamma": 2}}]}, ["methods[0]", "`gamma`", "less than 0, got 2"]),
        (
            {"methods": [{"name": "cce", "search": {"gamma": {"low": -1, "high": -9}}}]},
            ["methods[0].search.gamma", "`low` must be < `high`, got low -1 and high -9"],
        ),
        (
            {"data": [{"dataset": "digits", "profiles": [{"ratio": 1000}]}]},
            ["data[0]", "ratio 1000 leaves class 7", "without a training image", "largest ratio"],
        ),
        ({"resources": {"cpus": 100_000}}, ["resources.cpus", "asks for 100000, this machine has"]),
        ({"methods": ["cce", "cce"]}, ["two cells are named digits/long_tail-10/cce", "`label`"]),
    ],
    ids=["method", "data set", "key", "metric", "ratio", "gamma", "range", "empty class", "processors", "same cell"],
)
def test_a_study_file_that_cannot_be_run(
    change: dict[str, Any], said: list[str], command: Command, study_mapping: Make
) -> None:
    message = command.refused("run", command.write(study_mapping(**change)))
    for part in said:
        assert part in message
    if "resources" not in change and "two cells" not in said[0]:
        assert str(command.folder / "my.yaml") in message
    assert not command.storage.exists()


def test_no_such_file(command: Command) -> None:
    assert "none.yaml: no such file" in command.refused("run", command.folder / "none.yaml")


def test_no_yaml(command: Command) -> None:
    (command.folder / "my.yaml").write_text("name: [")
    assert "my.yaml: not valid YAML" in command.refused("run", command.folder / "my.yaml")


def test_a_wrong_override(command: Command, study_mapping: Make) -> None:
    message = command.refused("run", command.write(study_mapping()), "--set", "search.trails=3")
    assert "unknown key 'trails'; did you mean 'trials'?" in message


@pytest.mark.parametrize("place", ["a-file/below", "/proc/nowhere"])
def test_no_write_access(place: str, command: Command, study_mapping: Make) -> None:
    (command.folder / "a-file").write_text("")
    storage = command.folder / place
    message = command.refused("run", command.write(study_mapping()), storage=storage)
    assert f"cannot write to the storage folder {storage}" in message
    assert not storage.exists()


def _cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _spoil_an_image(file: Path) -> None:
    content = file.read_bytes()
    assert content.count(b"IHDR") > 5
    third = content.index(b"IHDR", content.index(b"IHDR", content.index(b"IHDR") + 1) + 1)
    file.write_bytes(content[:third] + b"XXXX" + content[third + 4 :])


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("damage", [_cut_off, _spoil_an_image])
def test_a_data_set_whose_files_are_damaged(
    damage: Callable[[Path], None],
    split: str,
    command: Command,
    study_mapping: Make,
    write_data_set: Callable[..., Path],
) -> None:
    folder = write_data_set(command.folder / "data" / "dots")
    damage(folder / f"{split}.parquet")
    data = [{"dataset": "dots", "profiles": [{"ratio": 2}]}]
    message = command.refused("run", command.write(study_mapping(data=data)), "--data-dir", command.folder / "data")
    assert "data[0]" in message
    assert f"{split}.parquet" in message
    assert not command.storage.exists()


@pytest.fixture
def stored(command: Command, make_spec: Callable[..., StudySpec]) -> StudyFolder:
    """A study that was stored but never ran."""
    spec = make_spec()
    folder = StudyFolder(command.storage, spec.name)
    with folder.driver_lock():
        folder.create(spec, {"digits/long_tail-10": "not its fingerprint"})
    return folder


def test_a_name_that_exists(command: Command, stored: StudyFolder, study_mapping: Make) -> None:
    message = command.refused("run", command.write(study_mapping()))
    assert "study 'tiny' exists already" in message
    assert "study resume tiny" in message


def test_a_name_that_exists_hides_no_mistake_of_the_file(
    command: Command, stored: StudyFolder, study_mapping: Make
) -> None:
    data = [{"dataset": "digits", "profiles": [{"ratio": 1000}]}]
    message = command.refused("run", command.write(study_mapping(data=data)))
    assert "ratio 1000 leaves class 7" in message
    assert "exists already" not in message


def test_a_data_folder_that_cannot_be(command: Command, study_mapping: Make) -> None:
    data = [{"dataset": "digits", "data_dir": "~nosuchuser/data", "profiles": [{"ratio": 10}]}]
    message = command.refused("run", command.write(study_mapping(data=data)))
    assert message.startswith(f"error: {command.folder / 'my.yaml'}: data[0]")
    assert "`data_dir` names '~nosuchuser/data', which cannot be a folder" in message
    assert "--data-dir names '~nosuchuser'" in command.refused("train", "erm", "--data-dir", "~nosuchuser")


@pytest.mark.parametrize("words", [["run"], ["train"], ["datasets"]], ids=" ".join)
def test_a_data_folder_that_is_not_there_is_blamed_on_what_names_it(
    words: list[str], command: Command, study_mapping: Make
) -> None:
    of_command: dict[str, list[Any]] = {"run": [command.write(study_mapping())], "train": ["erm"], "datasets": []}
    given = of_command[words[0]]
    none = command.folder / "none"
    message = command.refused(*words, *given, "--data-dir", none)
    assert message.startswith(f"error: --data-dir names {none}, which is not a folder")
    message = command.refused(*words, *given, data_dir=none)
    assert message.startswith(f"error: STUDY_DATA_DIR names {none}, which is not a folder")


def test_the_folder_of_a_file_that_names_its_own_is_the_only_one_that_counts(
    command: Command, study_mapping: Make
) -> None:
    data = [{"dataset": "pets", "data_dir": str(command.folder), "profiles": [{"ratio": 10}]}]
    message = command.refused("run", command.write(study_mapping(data=data)), data_dir=command.folder / "none")
    assert "data[0]: unknown data set 'pets'. Allowed: " in message
    assert message.rstrip().endswith(f"Searched the data folder {command.folder}")


def test_a_resume_with_a_data_folder_that_is_not_there(command: Command, stored: StudyFolder) -> None:
    message = command.refused("resume", "tiny", "--data-dir", command.folder / "none")
    assert message.startswith(f"error: --data-dir names {command.folder / 'none'}, which is not a folder")


def test_an_export_replaces_no_file_unasked(command: Command, stored: StudyFolder) -> None:
    file = command.folder / "all.parquet"
    file.write_text("mine")
    message = command.refused("export", "tiny", "--to", file)
    assert message == f"error: --to {file}: already exists; --force replaces it"


def test_an_export_writes_no_two_tables_into_one_file(command: Command, stored: StudyFolder) -> None:
    file = command.folder / "new.parquet"
    message = command.refused("export", "tiny", "--per-class", file, "--responses", file)
    assert message == f"error: --per-class and --responses: both name {file}; they are two tables"


@pytest.mark.parametrize(
    "words",
    [["resume"], ["status"], ["show"], ["record"], ["export", "--to", "x.parquet"]],
    ids=" ".join,
)
def test_an_unknown_study(words: list[str], command: Command, stored: StudyFolder) -> None:
    message = command.refused(words[0], "tinny", *words[1:])
    assert "no study 'tinny'" in message
    assert "did you mean 'tiny'?" in message


@pytest.mark.parametrize(
    "change",
    ["seed=3", "methods.0=erm"],
)
def test_a_resume_that_would_mix_what_cannot_be_compared(change: str, command: Command, stored: StudyFolder) -> None:
    message = command.refused("resume", "tiny", "--set", change)
    assert f"--set {change.partition('=')[0].removesuffix('.0')}" in message
    assert "a resume may change only search.trials" in message


def test_a_resume_on_other_data(command: Command, stored: StudyFolder) -> None:
    before = stored.spec_path.read_bytes()
    # opening the ledger may create its file; the stored study must not change
    done = subprocess.run(
        [sys.executable, "-m", "study.cli.app", "resume", "tiny", "--storage", str(command.storage)],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert "study 'tiny': the images or labels of digits/long_tail-10 changed since it was started" in done.stderr
    assert stored.spec_path.read_bytes() == before


def test_two_drivers_at_once(command: Command, stored: StudyFolder) -> None:
    with stored.driver_lock():
        assert "study 'tiny' is being run by another process now" in command.refused("resume", "tiny")
        assert stored.is_driven()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lddam"], "unknown method 'lddam'; did you mean 'ldam'?"),
        (["cce", "--set", "gamma=2"], "`gamma` must be less than 0, got 2"),
        (["cce", "--ratio", "0.5"], "greater than or equal to 1, got 0.5"),
        (["cce", "--dataset", "digit"], "unknown data set 'digit'; did you mean 'digits'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_single_training_that_cannot_be(words: list[str], said: str, command: Command) -> None:
    assert said in command.refused("train", *words)
