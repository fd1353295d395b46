"""`study check` forecasts a study and starts nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from study.cli.app import app
from study.report.forecast import Forecast, forecast
from study.spec.study_spec import StudySpec
from tests.study.made_study import EPOCHS, MadeStudy
from tests.trainables.data.written_sets import write_image
from trainables.core.errors import BadInput

MakeSpec = Callable[..., StudySpec]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def write(tmp_path: Path, study_mapping: Callable[..., dict[str, Any]]) -> Callable[..., Path]:
    def make(**changes: Any) -> Path:
        path = tmp_path / "my.yaml"
        path.write_text(yaml.safe_dump(study_mapping(**changes)))
        return path

    return make


def _check(path: Path, storage: Path, *words: str) -> Any:
    return CliRunner().invoke(app, ["check", str(path), "--storage", str(storage), *words], env={"COLUMNS": "300"})


def test_it_says_where_drawn_test_images_come_from(write: Callable[..., Path], storage: Path, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(8):
            write_image(tmp_path / "data" / "pets" / name / f"{i}.png", i)
    path = write(data=[{"dataset": "pets", "test_fraction": 0.25, "profiles": [{"ratio": 2}]}])
    where = ("--data-dir", str(tmp_path / "data"))
    drawn = "4 of its 16 images, 25 % of every class, are drawn as test images by test_seed 0"
    said = f"pets: no test split of its own: {drawn}"
    assert said in _check(path, storage, *where).output
    assert json.loads(_check(path, storage, "--json", *where).output)["notes"] == [said]
    few = _check(write(data=[{"dataset": "pets", "test_fraction": 0.1, "profiles": [{"ratio": 2}]}]), storage, *where)
    assert isinstance(few.exception, BadInput) and str(few.exception).startswith("my.yaml: data[0]: ")


def test_it_says_what_a_study_costs_at_most_and_starts_nothing(write: Callable[..., Path], storage: Path) -> None:
    path = write(methods=["erm", "cce", "m2m"], confirm={"seeds": 3})
    shown = _check(path, storage)
    assert shown.exit_code == 0, shown.output
    assert "tiny: 3 cells (1 profiles of data sets x 3 methods)" in shown.output
    # m2m also trains one reference network for the search, and one for each seed
    assert "search: at most 12 trials, at most 130 epochs (4 trials a cell, 10 epochs a trial)" in shown.output
    assert "confirmation: at most 15 trials, 180 epochs (3 seeds)" in shown.output
    assert "time: unknown; no trial of digits/long_tail-10/erm" in shown.output
    assert "disk: unknown; no trial of mlp is recorded" in shown.output
    assert not storage.exists()
    found = json.loads(_check(path, storage, "--json").output)
    assert (found["trials"], found["search_epochs"], found["confirmed_epochs"]) == (27, 130, 180)
    assert (found["hours"], found["disk_bytes"], found["notes"]) == (None, None, [])


def test_a_search_of_the_presets_alone_confirms_one_setting_a_cell(write: Callable[..., Path], storage: Path) -> None:
    shown = _check(write(methods=["erm", "cce"], search={"trials": 1}, confirm={"seeds": 3}), storage)
    assert "confirmation: at most 6 trials, 60 epochs (3 seeds)" in shown.output


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"epochs": 10, "crop_size": 9}, "`crop_size` must be at most 8 pixels for the images of digits"),
        ({"epochs": 10, "test_crop_size": 6}, "`test_crop_size` must equal the training size 8 for mlp, got 6"),
    ],
)
def test_crops_that_do_not_fit_the_images_are_refused(
    write: Callable[..., Path], storage: Path, training: dict[str, Any], message: str
) -> None:
    failed = _check(write(training=training), storage)
    assert isinstance(failed.exception, BadInput)
    assert message in str(failed.exception)


def test_a_bad_file_is_refused(write: Callable[..., Path], storage: Path) -> None:
    failed = _check(write(search={"trials": 0}), storage)
    assert isinstance(failed.exception, BadInput)
    assert "search.trials: must be greater than or equal to 1" in str(failed.exception)


def test_it_warns_of_milestones_without_effect(write: Callable[..., Path], storage: Path) -> None:
    path = write(training={"epochs": 2})
    assert "0.8 (after 1.6 of 2 epochs), 0.9 (after 1.8 of 2 epochs) fall inside the last epoch" in (
        _check(path, storage).output
    )
    assert len(json.loads(_check(path, storage, "--json").output)["notes"]) == 1


def test_it_advises_on_keys_that_change_nothing_and_refuses_none(write: Callable[..., Path], storage: Path) -> None:
    path = write(search={"trials": 4, "grid_points": 7, "pruner": {"name": "median", "least_chance": 0.2}})
    checked = _check(path, storage, "--set", "search.preset_prior=1")
    assert checked.exit_code == 0
    said = [
        "search.grid_points: 7 has no effect with searcher tpe; only grid reads it",
        "search.preset_prior: 1 has no effect with searcher tpe; only ratio-gp reads it",
        "search.pruner.least_chance: 0.2 has no effect with pruner median; only ratio-gp reads it",
    ]
    assert checked.output.splitlines()[-3:] == said
    assert json.loads(_check(path, storage, "--json", "--set", "search.preset_prior=1").output)["notes"] == said


def test_neither_torch_nor_optuna_is_imported(write: Callable[..., Path], storage: Path) -> None:
    code = (
        "import sys\nfrom study.cli.app import app\n"
        f"app(['check', {str(write())!r}, '--storage', {str(storage)!r}], standalone_mode=False)\n"
        "print(sorted({'torch', 'ray', 'mlflow', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("methods", "search", "trials", "epochs"),
    [
        (["cce"], {"trials": 20}, 20, 200),
        (["cce"], {"trials": 20, "epochs_total": 55}, 20, 55),
        ([{"name": "cce", "search": {"gamma": {"choices": [-1, -2]}}}], {"searcher": "grid", "trials": 20}, 2, 20),
        (["cce"], {"trials": 20, "budget": "epochs"}, 20, 200),
        (["m2m"], {"trials": 20}, 20, 210),
        (["m2m"], {"trials": 20, "training": {"lr": {"low": 0.1, "high": 1}}}, 20, 400),
        (["m2m"], {"trials": 20, "budget": "epochs"}, 19, 200),
        (["m2m"], {"trials": 21, "budget": "epochs", "training": {"lr": {"low": 0.1, "high": 1}}}, 10, 200),
    ],
)
def test_trials_and_epochs_follow_the_budget(
    methods: list[Any], search: dict[str, Any], trials: int, epochs: int, make_spec: MakeSpec, storage: Path
) -> None:
    found = forecast(make_spec(methods=methods, search=search), storage)
    assert (sum(cell.trials for cell in found.cells), found.search_epochs) == (trials, epochs)


def _recorded(storage: Path) -> Forecast:
    """Record a trial of CCE, and forecast a study of ERM and CCE at two ratios like it."""
    made = MadeStudy(storage)
    made.complete("cce")
    changes = {"data": [{"dataset": "digits", "profiles": [{"ratio": [10, 50]}]}], "search": {"trials": 8}}
    return forecast(StudySpec.model_validate({**made.spec.model_dump(mode="json"), "name": "next", **changes}), storage)


def test_hours_and_disk_come_from_recorded_trials(storage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.report.recorded_rates._seconds_per_epoch", lambda trial: 7.0)
    found = _recorded(storage)
    sources = {cell.cell: cell.rate.source for cell in found.cells if cell.rate is not None}
    assert sources == {
        "digits/long_tail-10/erm": "recorded with other methods",
        "digits/long_tail-10/cce": "recorded with the same method",
        "digits/long_tail-50/erm": "recorded at other profiles",
        "digits/long_tail-50/cce": "recorded at other profiles",
    }
    assert found.search_epochs == 4 * 8 * EPOCHS
    assert found.hours == pytest.approx(found.search_epochs * 7 / 3600 / found.concurrency)
    folder = storage / "made" / "cells" / "digits" / "long_tail-10" / "cce" / "00000"
    assert found.disk_bytes == 32 * sum(file.stat().st_size for file in folder.iterdir())


def test_the_rate_is_the_wall_time_of_an_epoch(storage: Path) -> None:
    from study.report.recorded_rates import _seconds_per_epoch
    from study.store.study_view import open_view

    made = MadeStudy(storage)
    made.complete("cce")
    trial = next(trial for cell in open_view(made.folder).cells for trial in cell.trials)
    assert trial.started is not None
    later = type(trial)(**{**vars(trial), "ended": trial.started + timedelta(seconds=10 * EPOCHS)})
    assert _seconds_per_epoch(later) == pytest.approx(10)
    assert _seconds_per_epoch(type(trial)(**{**vars(trial), "ended": None})) is None


@pytest.mark.parametrize("change", ["model=affinity-conv", "training.batch_size=16", "resources.cpus=2"])
def test_trials_that_train_otherwise_say_nothing(change: str, storage: Path, make_spec: MakeSpec) -> None:
    MadeStudy(storage).complete("cce")
    assert forecast(make_spec("training.batch_size=32"), storage).cells[0].rate is not None
    assert forecast(make_spec("training.batch_size=32", change), storage).cells[0].rate is None


def test_a_short_training_measures(write: Callable[..., Path], storage: Path) -> None:
    path = write(methods=["erm", "cce"], data=[{"dataset": "digits", "profiles": [{"ratio": [10, 50]}]}])
    shown = _check(path, storage, "--measure")
    assert shown.exit_code == 0, shown.output
    assert "measured now with ERM, without validation" in shown.output
    found = json.loads(_check(path, storage, "--measure", "--json").output)
    assert found["hours"] > 0
    assert found["disk_bytes"] > 16 * 10_000
    assert not storage.exists()


def test_fine_tuning_from_random_weights_is_noted(write: Callable[..., Path], storage: Path) -> None:
    path = write(methods=["erm", "linear-probe"])
    (note,) = json.loads(_check(path, storage, "--json").output)["notes"]
    assert note.startswith("model.weights: under linear-probe a small part of mlp is trained, and the rest keeps its")
    tuned = write(methods=["erm"], model={"name": "mlp", "tuned": "bias"})
    assert "under `tuned` bias a small part of mlp is trained" in _check(tuned, storage).output


def test_what_a_network_lacks_to_be_tuned_is_said(write: Callable[..., Path], storage: Path) -> None:
    refused = _check(write(methods=["erm", "lift"]), storage)
    assert isinstance(refused.exception, BadInput) or refused.exit_code == 2
    said = f"{refused.output}{refused.exception}"
    assert "my.yaml: methods: lift: adapters need transformer blocks, and mlp has none" in said


def test_places_of_the_environment_that_are_no_urls_are_refused_and_not_shown(
    write: Callable[..., Path], storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, given in (("STUDY_LEDGER", "host=h password=pass-word-58"), ("STUDY_TRACKING_URI", "a:word-58@h:5")):
        monkeypatch.setenv(variable, given)
        done = _check(write(), storage)
        assert isinstance(done.exception, BadInput) and str(done.exception).startswith(f"{variable}: the URL ")
        assert "word-58" not in str(done.exception) + done.output
        monkeypatch.delenv(variable)
