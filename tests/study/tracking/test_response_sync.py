"""The run of a study itself: the responses of its methods to the imbalance ratio, as the report draws them."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from PIL import Image

from study.report.html.results import Unit, results_of
from study.report.html.search_figures import model_figure
from study.search.ratio_response import RatioResponse, ratio_responses
from study.store.study_view import StudyView, open_view
from study.tracking import Recorder, record_study, response_sync, study_sync
from study.tracking.plots.palette import OTHERS, styles_of
from study.tracking.plots.ratio_response_plot import BestTrial, ratio_response_figure, ratio_response_picture
from study.tracking.study_sync import StudySync
from tests.study.made_study import MadeStudy
from tests.study.ratio_study import RATIOS, ratio_study, train_cells

TWO = (10, 100)

Dumper = Callable[[], dict[str, dict[str, Any]]]


def _responses(view: StudyView) -> list[RatioResponse]:
    return ratio_responses(view.spec, [(cell.cell, cell.frozen) for cell in view.cells])


@pytest.fixture
def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the runs of trials out, whose pictures take most of the time."""
    monkeypatch.setattr(study_sync, "sync_trial", lambda *_: False)


def _sync(made: MadeStudy) -> None:
    StudySync(made.folder, made.spec).responses(open_view(made.folder).cells)


def _table(client: MlflowClient, run: dict[str, Any], folder: Path) -> dict[str, Any]:
    path = client.download_artifacts(run["id"], "ratio_response.json", str(folder))
    found: dict[str, Any] = json.loads(Path(path).read_text())
    return found


def test_the_table_has_the_figures_of_the_report(
    storage: Path, client: MlflowClient, dump: Dumper, tmp_path: Path
) -> None:
    made = ratio_study(storage, 5)
    _sync(made)
    run = dump()["study"]
    assert (run["status"], run["name"], run["metrics"], run["params"]) == ("FINISHED", "whole study", {}, {})
    assert run["artifacts"] == ["ratio_response.json", "ratio_response.png"]
    assert json.loads(run["tags"]["mlflow.loggedArtifacts"]) == [{"path": "ratio_response.json", "type": "table"}]
    table = _table(client, run, tmp_path)
    assert table["columns"] == [
        "dataset",
        "profile_kind",
        "method",
        "ratio",
        "mean",
        "low",
        "high",
        "trials",
        "setting",
    ]
    assert {(*row[:3], row[-2]) for row in table["data"]} == {("digits", "long_tail", "cce", 20)}

    view = open_view(made.folder)
    results = results_of(view)
    (places,) = results.groups.values()
    styles = styles_of(results.methods, results.baseline, results.by_mean_position)
    unit = Unit("balanced_accuracy")
    (axes,) = model_figure(_responses(view), places, unit, styles, "model").figure.axes
    (band,) = axes.collections
    line, points = axes.get_lines()
    ratio, mean, low, high = np.array([row[3:7] for row in table["data"]]).T
    assert np.allclose(line.get_xdata(), ratio, rtol=1e-5)
    assert np.allclose(line.get_ydata(), unit.scale * mean, rtol=1e-5)
    corners = band.get_paths()[0].vertices
    for side in (low, high):  # the outline has both sides among its corners
        assert np.abs(corners[:, 1, None] - unit.scale * side).min(axis=0).max() < 1e-3

    best = [BestTrial("digits/long_tail-last", c.cell.method, c.cell.ratio, c.best().value) for c in view.cells]
    (panel,) = ratio_response_figure(_responses(view), best, styles, "balanced_accuracy").axes
    drawn, dots = panel.get_lines()
    assert np.allclose(unit.scale * np.asarray(drawn.get_ydata()), line.get_ydata())
    assert np.allclose(unit.scale * np.array(dots.get_ydata()), points.get_ydata())
    assert list(dots.get_xdata()) == list(points.get_xdata()) == list(RATIOS)
    assert drawn.get_color() == line.get_color()
    note = run["tags"]["mlflow.note.content"]
    assert f"| 10 | {mean[0]:.4f} ({low[0]:.4f} to {high[0]:.4f}) | 100 | {mean[-1]:.4f}" in note


def test_nothing_is_fitted_twice_and_a_raised_budget_renews_it(
    storage: Path, client: MlflowClient, dump: Dumper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = ratio_study(storage, 4, TWO)
    _sync(made)
    before = dump()["study"]
    with monkeypatch.context() as context:
        context.setattr(response_sync, "ratio_responses", lambda *_: pytest.fail("fitted again"))
        _sync(made)
    assert dump()["study"] == before
    train_cells(made, 1)
    _sync(made)
    after = dump()["study"]
    assert after["id"] == before["id"] and after["end"] > before["end"]
    assert {row[-2] for row in _table(client, after, tmp_path)["data"]} == {10}


def test_its_view_is_there_with_it(storage: Path, client: MlflowClient) -> None:
    made = ratio_study(storage, 4, TWO)
    _sync(made)
    tags = client.get_experiment_by_name("made").tags
    assert json.loads(tags["mlflow.sharedViewState.study"])["searchFilter"] == "tags.`study.kind` = 'study'"


@pytest.mark.parametrize(("trials", "ratios"), [(3, TWO), (9, (10,))], ids=["few trials", "one ratio"])
def test_a_study_has_no_run_of_its_own_with(
    storage: Path, client: MlflowClient, dump: Dumper, trials: int, ratios: tuple[int, ...]
) -> None:
    _sync(ratio_study(storage, trials, ratios))
    assert "study" not in dump()
    assert "mlflow.sharedViewState.study" not in client.get_experiment_by_name("made").tags


@pytest.mark.usefixtures("no_trials")
def test_it_is_recorded_once_the_search_is_over(storage: Path, dump: Dumper) -> None:
    made = ratio_study(storage, 5, TWO, made=4)
    record_study(made.folder)
    assert "study" not in dump()
    train_cells(made, 1)
    record_study(made.folder)
    assert dump()["study"]["status"] == "FINISHED"


@pytest.mark.usefixtures("no_trials")
def test_a_running_study_fits_once_when_its_recorder_closes(
    storage: Path, dump: Dumper, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[int] = []

    def counted(*given: Any) -> list[RatioResponse]:
        fitted.append(1)
        return ratio_responses(*given)

    monkeypatch.setattr(response_sync, "ratio_responses", counted)
    made, said = ratio_study(storage, 4, TWO, made=0), list[str]()
    recorder = Recorder(storage, made.spec, made.ledger, warn=said.append, summaries=0.0)
    for trial in train_cells(made, 4):
        recorder.touch(trial, True)
    end = time.monotonic() + 60
    while sum("validation/best balanced_accuracy" in run["metrics"] for run in dump().values()) < len(TWO):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert fitted == []
    assert recorder.close() == [] and said == []
    assert fitted == [1]
    assert dump()["study"]["status"] == "FINISHED"


def _response(dataset: str, method: str, level: float = 0.9) -> RatioResponse:
    mean = tuple(level - 0.1 * step for step in range(3))
    low, high = tuple(value - 0.02 for value in mean), tuple(value + 0.02 for value in mean)
    settings = tuple({"gamma": -1.0 - step} for step in range(3))
    return RatioResponse(dataset, "long_tail", dataset, method, (10.0, 30.0, 100.0), mean, low, high, settings, 9)


def test_a_panel_per_data_set_and_many_methods_grey() -> None:
    methods = [f"method {number} of $5 or $6" for number in range(15)]
    responses = [_response(data, method, 0.9 - n / 50) for data in ("a", "b", "c") for n, method in enumerate(methods)]
    styles = styles_of(methods, None, methods)
    best = [BestTrial("a", methods[0], 10.0, 0.9)]
    figure = ratio_response_figure(responses, best, styles, "g_mean")
    assert [panel.get_title() for panel in figure.axes if panel.axison] == [f"{name} long_tail" for name in "abc"]
    assert len(figure.axes[0].collections) == 13
    assert [style.method for style in styles.values() if style.colour == OTHERS] == methods[13:]
    picture = Image.open(io.BytesIO(ratio_response_picture(responses, best, styles, "g_mean")))
    assert picture.format == "PNG" and picture.width > 1000


def test_recording_starts_without_what_only_the_model_needs() -> None:
    heavy = ("scipy", "sklearn", "matplotlib", "mlflow")
    code = f"import sys, study.tracking; print([name for name in {heavy} if name in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
