"""Studies stored before the format had a number still open, and newer formats are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

from search_spaces import SPACES, Choices
from study.driver.driver import resume
from study.driver.preflight import precision_change_note
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.report.export import export_study
from study.report.status import status_of
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.store.seals import unsealed_json
from study.store.study_folder import StudyFolder, stored_names
from study.store.study_view import open_view
from study.store.warm_start import read_warm_starts
from trainables.core.config import MethodConfig
from trainables.core.errors import BadInput
from trainables.methods.registry import build_params

STORED = Path(__file__).parent / "stored_v1"
CELL = "digits/long_tail-20/{}"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A copy of two studies of version 1: one finished, one killed in the middle of a trial."""
    shutil.copytree(STORED, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_finished_study_reads_as_it_did(storage: Path) -> None:
    assert stored_names(storage) == ["first", "second"]
    status = status_of(storage, "first")
    assert status["state"] == "finished"
    best = {cell["method"]: cell["best"]["value"] for cell in status["cells"]}
    assert best["erm"] == 0.7857142857142857
    assert {m: round(v, 4) for m, v in best.items()} == {"erm": 0.7857, "cce": 0.7679, "ldam-drw": 0.5964}
    view = open_view(StudyFolder(storage, "first"))
    assert [trial.param_source for trial in view.cells[2].confirming] == ["best", "preset"]
    assert view.cells[2].trials[0].params == view.cells[2].cell.preset_params()
    assert view.cells[1].cell.base.method.params == {"gamma": -5}
    stored = view.cells[1].trials[0].stored_config()
    assert stored is not None and stored["trial"]["method"]["params"]["gamma"] == -5


def test_its_export_holds_every_epoch(storage: Path, tmp_path: Path) -> None:
    rows = export_study(StudyFolder(storage, "first"), tmp_path / "first.parquet")
    table = pq.read_table(tmp_path / "first.parquet")
    assert rows == table.num_rows == 2 * (6 + len(table.filter(table["phase"].to_numpy(False) == "confirm")) // 2)
    assert set(table["param_source"].to_pylist()) >= {"recommended", "searcher", "best", "preset"}


def test_an_interrupted_study_goes_on_in_todays_words(storage: Path) -> None:
    folder = StudyFolder(storage, "second")
    spec = folder.read_spec()
    assert read_warm_starts(folder, spec)[CELL.format("ldam-drw")][0].source.startswith("warm start: first ")
    folder.write_spec(spec)
    ledger = Ledger(
        spec,
        expand(spec),
        open_storage(folder.path, None),
        read_warm_starts(folder, spec),
        folder.trial_reader(),
    )
    (interrupted,) = ledger.interrupted()
    assert interrupted.key == f"{CELL.format('ldam-drw')}/00001"
    ledger.of(interrupted).complete(interrupted.number, 0.5)
    while (new := ledger.next()) is not None:
        ledger.of(new).complete(new.number, 0.5)
    assert ledger.remaining() == 0
    assert unsealed_json(folder.format_path) == {"version": 4, "oldest": 1}
    assert "values:" not in folder.spec_path.read_text()
    view = open_view(folder)
    assert view.state == "finished"
    assert {trial.param_source for cell in view.cells for trial in cell.confirming} >= {"best", "preset"}


def _automatic(storage: Path, device: str, precision: str) -> StudyFolder:
    """Turn the second study into one of version 2 with automatic precision, whose trials ran as given."""
    folder = StudyFolder(storage, "second")
    folder.format_path.write_text('{"version": 2, "oldest": 2}')
    stored = folder.spec_path.read_text().replace("precision: float32", "precision: auto")
    folder.spec_path.write_text(stored.replace("  values:", "  params:"))
    for file in folder.path.glob("cells/**/trial.json"):
        config = json.loads(file.read_text())
        config["environment"] |= {"device": device, "precision": precision}
        file.write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("device", "precision", "read_as"),
    [("cpu", "bfloat16", "native"), ("cpu", "float32", "auto"), ("NVIDIA H100", "bfloat16", "auto")],
)
def test_automatic_precision_keeps_the_meaning_it_had(device: str, precision: str, read_as: str, storage: Path) -> None:
    folder = _automatic(storage, device, precision)
    assert folder.read_spec().training.precision == read_as
    assert open_view(folder).spec.training.precision == read_as
    folder.write_spec(folder.read_spec())  # as a resume does
    assert unsealed_json(folder.format_path) == {"version": 4, "oldest": 2}
    assert folder.read_spec().training.precision == read_as
    with pytest.raises(BadInput, match=r"training\.precision=float32: a resume may change only"):
        resume(folder.name, storage, ("training.precision=float32",), address=None, console=Console())


def test_a_study_of_today_keeps_the_new_meaning(storage: Path) -> None:
    folder = _automatic(storage, "cpu", "bfloat16")
    folder.format_path.write_text('{"version": 3, "oldest": 3}')
    assert folder.read_spec().training.precision == "auto"


def test_renamed_precision_keeps_the_checkpoints(storage: Path) -> None:
    cells = open_view(_automatic(storage, "cpu", "bfloat16")).cells
    trial = cells[0].trials[0].config
    training = trial.training.model_copy(update={"precision": "auto"})
    assert trial.training.precision == "native"
    assert trial.fingerprint() == trial.model_copy(update={"training": training}).fingerprint()


def test_a_resume_in_another_precision_is_said(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _automatic(storage, "cpu", "bfloat16")
    spec = folder.read_spec()
    monkeypatch.setattr("trainables.core.device.multiplies_bfloat16", lambda device: True)
    monkeypatch.setattr("study.driver.preflight.pick_device", lambda: torch.device("cpu"))
    trials = [trial for cell in open_view(folder).cells for trial in cell.all_trials]
    assert precision_change_note(spec, trials) is None
    monkeypatch.setattr("trainables.core.device.multiplies_bfloat16", lambda device: False)
    said = precision_change_note(spec, trials)
    assert said is not None
    assert "trains in float32, trials so far were trained in bfloat16" in said


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ('{"version": 5, "oldest": 5}', "format 5.*knows formats 1 to 4"),
        ('{"version": 5}', "format 5.*knows formats 1 to 4"),
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "cannot be read"),
        ('{"version": 1e400, "oldest": 1}', "must be whole numbers.*got inf"),
        ('{"version": 2.9, "oldest": 2.9}', "must be whole numbers.*got 2.9"),
        ('{"version": true, "oldest": true}', "must be whole numbers.*got True"),
        ('{"version": 1, "oldest": 2}', "1 <= oldest <= version"),
        ('{"version": 2, "oldest": 0}', "1 <= oldest <= version"),
    ],
    ids=str,
)
def test_a_format_that_is_not_known_is_refused(stored: str, said: str, storage: Path) -> None:
    folder = StudyFolder(storage, "first")
    folder.format_path.write_text(stored)
    with pytest.raises(BadInput, match=said):
        open_view(folder)


def test_checkpoints_of_an_interrupted_trial_stay_valid(storage: Path) -> None:
    """The digest is the one in the checkpoint that the killed trial of the second study had written."""
    cell = next(c for c in open_view(StudyFolder(storage, "second")).cells if c.cell.method == "ldam-drw")
    digest = cell.trials[1].config.fingerprint()
    assert digest == "9b9e8aedbd8f3881027003d5c406c936c4c7b5fcb2db4ddc8c7148d42e61526c"


def _folder_of_version_2(storage: Path, methods: list[dict[str, Any]]) -> StudyFolder:
    spec = StudySpec.model_validate(
        {"name": "two", "data": [{"dataset": "digits", "profiles": [{"ratio": 10}]}], "methods": methods}
    )
    folder = StudyFolder(storage, "two")
    folder.path.mkdir()
    folder.create(spec, {})
    folder.format_path.write_text('{"version": 2, "oldest": 2}')
    return folder


def test_a_study_stored_before_defaults_changed_keeps_its_defaults_and_space(tmp_path: Path) -> None:
    names = ("affinity", "elm", "elm-drw", "offset", "erm")
    folder = _folder_of_version_2(tmp_path, [{"name": name} for name in names])
    cells = {cell.method: cell for cell in expand(folder.read_spec())}
    assert cells["affinity"].preset_params()["margin"] == 0.75
    assert cells["offset"].preset_params()["constraint_weight"] == 1.0
    for name in ("elm", "elm-drw"):
        assert cells[name].preset_params()["lam"] == 1.0
        scale = cells[name].space["scale"]
        assert isinstance(scale, Choices) and scale.choices == (10.0, 20.0, 30.0, 64.0)
        assert set(cells[name].space) == set(SPACES[name])
    assert cells["erm"].base.method.preset == "recommended"
    folder.write_spec(folder.read_spec())
    again = {cell.method: cell for cell in expand(folder.read_spec())}
    assert again == cells


def test_its_unfinished_trials_keep_their_checkpoints(tmp_path: Path) -> None:
    folder = _folder_of_version_2(tmp_path, [{"name": "elm", "search": {"scale": {"choices": [10.0, 30.0]}}}])
    (cell,) = expand(folder.read_spec())
    as_it_was = cell.base.model_copy(update={"method": MethodConfig(name="elm")})
    assert cell.base.fingerprint() == as_it_was.fingerprint()
    assert getattr(build_params(cell.base.method), "lam", None) == 1.0


def test_other_presets_of_it_keep_the_default_that_they_did_not_set(tmp_path: Path) -> None:
    given = [
        {"name": "affinity", "preset": "paper", "search": {"sigma": {"low": 1, "high": 10}}},
        {"name": "offset", "preset": "paper"},
    ]
    affinity, offset = _folder_of_version_2(tmp_path, given).read_spec().methods
    assert (affinity.preset, affinity.params) == ("paper", {"margin": 0.75})
    assert (offset.preset, offset.params) == ("paper", {})


def test_a_study_of_today_has_todays_defaults(tmp_path: Path) -> None:
    folder = _folder_of_version_2(tmp_path, [{"name": "elm"}])
    folder.format_path.write_text('{"version": 3, "oldest": 3}')
    (cell,) = expand(folder.read_spec())
    assert cell.base.method.preset == "recommended" and cell.preset_params()["lam"] == 0.5
