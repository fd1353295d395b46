"""Mean and deviation over folds: which trials belong together, and their table."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study.report.cross_validation import folded_settings
from study.report.leaderboard import print_leaderboard
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of


def made(tmp_path: Path, **search: Any) -> MadeStudy:
    data = [{"dataset": "digits", "folds": 3, "profiles": [{"kind": "natural"}]}]
    return MadeStudy(tmp_path, spec_of(data=data, search={"trials": 4, "pruner": "none", **search}))


def complete(study: MadeStudy, fold: int, value: float, method: str = "cce") -> dict[str, Any]:
    cell = study.ledger.cells[f"digits/natural-fold{fold}of3/{method}"]
    trial = cell.ask()
    study.train(trial, range(1, 3), balanced_accuracy=value)
    cell.note_end(trial.number, study.files(trial).history()[-1])
    cell.complete(trial.number, value)
    return trial.params


def test_settings_of_all_folds_are_averaged(tmp_path: Path) -> None:
    study = made(tmp_path, searcher="random", transfer=False)
    values = {1: (0.5, 0.9), 2: (0.6, 0.8), 3: (0.7, 0.7)}
    params = {fold: [complete(study, fold, value) for value in both] for fold, both in values.items()}
    assert params[1] == params[2] == params[3] and params[1][0] != params[1][1]
    complete(study, 1, 0.99)  # the other folds have not trained it
    best, preset = folded_settings(open_view(study.folder).cells)
    assert best.values == (0.9, 0.8, 0.7) and best.params == params[1][1] and best.cell == "digits/natural/cce"
    assert best.mean == pytest.approx(0.8) and best.deviation == pytest.approx(0.1)
    assert preset.values == (0.5, 0.6, 0.7)
    assert preset.deviation == pytest.approx(math.sqrt(0.02 / 2))
    file = io.StringIO()
    print_leaderboard(study.folder, Console(file=file, width=160))
    assert "digits/natural/cce: balanced_accuracy over 3 folds" in file.getvalue()
    assert "0.8000" in file.getvalue() and "0.9000 0.8000 0.7000" in file.getvalue()


def test_without_params_a_setting_is_a_seed(tmp_path: Path) -> None:
    study = made(tmp_path)
    for fold in (1, 2, 3):
        for value in (0.5, 0.25 * fold):
            complete(study, fold, value, "erm")
    first, second = sorted(folded_settings(open_view(study.folder).cells), key=lambda one: one.seed)
    assert (first.seed, first.values) == (0, (0.5, 0.5, 0.5)) and first.deviation == 0
    assert (second.seed, second.values) == (1, (0.25, 0.5, 0.75))


def test_a_study_without_folds_has_no_table(tmp_path: Path) -> None:
    study = MadeStudy(tmp_path)
    study.complete("erm", balanced_accuracy=0.5)
    assert folded_settings(open_view(study.folder).cells) == []
