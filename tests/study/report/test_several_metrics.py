"""Reports of studies with several metrics or with constraints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from study.report.export import export_study
from study.report.leaderboard import print_leaderboard
from study.report.status import print_status, status_of
from study.store.study_view import open_view
from study.tracking.cell_sync import cell_summary
from tests.study.made_study import MadeStudy, spec_of


def _made(tmp_path: Path, **search: Any) -> MadeStudy:
    return MadeStudy(tmp_path, spec_of(methods=["cce"], search={"trials": 9, "pruner": "none", **search}))


def _shown(made: MadeStudy) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        print_leaderboard(made.folder, console, every_trial=True)
        print_status(status_of(made.folder.storage, made.folder.name), console)
    return capture.get()


def test_the_front_is_shown_and_the_rest_copes(tmp_path: Path) -> None:
    made = _made(tmp_path, metric=["many", "loss"])
    for many, loss in [(0.5, 1.0), (0.9, 3.0), (0.4, 2.0), (0.6, 1.5), (0.1, 0.9), (0.2, 5), (0.3, 6), (0.2, 7)]:
        made.complete(many=many, loss=loss)
    made.fail("diverged")
    (cell,) = open_view(made.folder).cells
    assert [trial.number for trial in cell.front()] == [1, 3, 0, 4]
    best = cell.best()
    assert best is not None and best.values == (0.9, 3.0)
    status = status_of(tmp_path, "made")
    (entry,) = status["cells"]
    assert json.loads(json.dumps(status)) == status
    assert entry["best"]["value"] == 0.9
    assert [(point["trial"], point["many"], point["loss"]) for point in entry["front"]] == [
        (1, 0.9, 3.0),
        (3, 0.6, 1.5),
        (0, 0.5, 1.0),
        (4, 0.1, 0.9),
    ]
    shown = _shown(made)
    heading = shown[shown.index("method") :].splitlines()[0]
    assert heading.split()[4:6] == ["many", "loss"]
    assert [name in shown for name in ("1* ", "3* ", "0* ", "4* ", "2* ")] == [True] * 4 + [False]
    summary = cell_summary(cell, made.spec)
    assert [found["trial"] for found in summary["front"]] == [1, 3, 0, 4]
    assert sum(summary["importance"].values()) > 0.99
    assert export_study(made.folder, tmp_path / "all.parquet") == 8 * 5 + 1


def test_a_best_that_breaks_a_bound_says_so(tmp_path: Path) -> None:
    made = _made(tmp_path, constraints={"many": {"min": 0.6}})
    made.complete(balanced_accuracy=0.9, many=0.5)
    assert "violates many.min by 0.1000" in _shown(made)
    assert status_of(tmp_path, "made")["cells"][0]["best"]["feasible"] is False
    made.complete(balanced_accuracy=0.3, many=0.6)
    assert "violates" not in _shown(made).partition("digits/long_tail-10/cce")[0]
    best = status_of(tmp_path, "made")["cells"][0]["best"]
    assert (best["value"], best["feasible"]) == (0.3, True)
