from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from mlflow import MlflowClient
from optuna.trial import create_trial
from PIL import Image

from study.store.study_view import CellView, cell_view, open_view
from study.tracking import record_study
from study.tracking.cell_sync import cell_summary, importance
from study.tracking.plots.response_plots import response_picture
from tests.study.made_study import MadeStudy, spec_of

Dumper = Callable[[], dict[str, dict[str, Any]]]


def judged_cell(storage: Path, metric: str, trials: int) -> CellView:
    """Build a cell in which only the margin matters, and larger is better."""
    made = MadeStudy(storage, spec_of(methods=["affinity"], search={"trials": trials, "metric": metric}))
    (cell,) = made.cells.values()
    distributions = {d.searched_name(n): d.distribution() for n, d in cell.space.items()}
    sampler = optuna.samplers.RandomSampler(seed=3)
    study = optuna.create_study(sampler=sampler)
    sign, frozen = (-1.0 if metric == "loss" else 1.0), []
    for number in range(trials):
        params = study.ask(distributions).params
        trial = create_trial(params=params, distributions=distributions, value=sign * params["margin"])
        trial.number = number
        frozen.append(trial)
    return cell_view(cell, frozen, metric, made.folder.path)


@pytest.mark.parametrize("metric", ["balanced_accuracy", "loss"])
def test_importance_finds_what_decides_whichever_way_is_better(tmp_path: Path, metric: str) -> None:
    cell = judged_cell(tmp_path, metric, trials=40)
    found = importance(cell)
    assert max(found, key=found.__getitem__) == "margin"
    assert found["margin"] > 0.6
    assert sum(found.values()) == pytest.approx(1)
    assert cell.best().params["margin"] == max(trial.params["margin"] for trial in cell.trials)


def test_few_trials_have_no_importance(tmp_path: Path) -> None:
    assert importance(judged_cell(tmp_path, "loss", trials=7)) == {}


def test_a_cells_run_sums_up_its_trials(made: MadeStudy, client: MlflowClient, dump: Dumper, tmp_path: Path) -> None:
    trials = [made.complete(), made.complete(), made.prune(epochs=2), made.fail("NonFiniteLoss", epochs=1)]
    made.complete("erm")
    record_study(made.folder)

    run = dump()[trials[0].cell.name]
    cell = next(c for c in open_view(made.folder).cells if c.cell.name == trials[0].cell.name)
    best = cell.best()
    assert run["status"] == "FINISHED"
    last = {name: points[-1][1] for name, points in run["metrics"].items()}
    assert last == {"validation/best balanced_accuracy": best.value}
    assert run["metrics"]["validation/best balanced_accuracy"][0][0] == 1  # after the first trial
    wanted = {
        "trials": "2 COMPLETE, 1 PRUNED, 1 FAIL",
        "epochs_trained": "13",
        "epochs_saved": "3",
        "best.trial": f"{best.number:03d}",
        "best.validation.balanced_accuracy": f"{best.value:.6g}",
        "preset.validation.balanced_accuracy": f"{cell.trials[0].value:.6g}",
        "study.kind": "cell",
    }
    assert wanted.items() <= run["tags"].items()
    assert {"method": "cce", "ratio": "10", "dataset": "digits", "model": "mlp"}.items() <= run["params"].items()
    assert f"{best.value:.4f}" in run["tags"]["mlflow.note.content"]
    assert run["artifacts"] == ["response_validation.png", "study.yaml", "summary.json"]
    summary = json.loads(Path(client.download_artifacts(run["id"], "summary.json", str(tmp_path))).read_text())
    assert summary == json.loads(json.dumps(cell_summary(cell, made.spec)))
    assert summary["best"]["params"] == best.params
    erm = dump()[made.cell_name("erm")]
    assert erm["status"] == "SCHEDULED"  # its budget is four trials, and nothing runs
    assert "nothing is searched" in erm["tags"]["mlflow.note.content"]


def test_a_raised_budget_moves_a_cells_end(made: MadeStudy, dump: Dumper) -> None:
    for _ in range(4):
        made.complete()
    record_study(made.folder)
    name = made.cell_name("cce")
    before = dump()[name]
    made.complete()
    record_study(made.folder)
    after = dump()[name]
    assert after["end"] > before["end"]
    assert after["tags"]["trials"] == "5 COMPLETE"
    assert [step for step, _, _ in after["metrics"]["validation/best balanced_accuracy"]] == [1, 2, 3, 4, 5]
    assert dump()[name] == after


@pytest.mark.parametrize("method", ["cce", "ldam-drw", "affinity", "focal"])
def test_responses_of_every_kind_of_range_are_drawn(tmp_path: Path, method: str) -> None:
    made = MadeStudy(tmp_path, spec_of(methods=[method], search={"trials": 5, "pruner": "none"}))
    for _ in range(3):
        made.complete(method)
    made.prune(method)
    (cell,) = open_view(made.folder).cells
    picture = Image.open(io.BytesIO(response_picture(cell)))
    assert picture.format == "PNG"
    assert picture.width >= 380
