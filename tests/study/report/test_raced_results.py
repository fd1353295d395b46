from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from study.ledger.cell_ledger import Assignment
from study.report.confirmed_results import confirmed_tables
from study.report.confirmed_tables import print_report
from study.report.forecast import forecast, forecast_lines
from study.report.html.results import results_of
from study.report.paper_table import paper_table
from study.report.status import overview, status_of
from study.report.table_formats import markdown
from study.search.sequential_test import sequential_test
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of

FIRST, MOST = 3, 8
CONFIRM = {"seeds": FIRST, "race": {"at_most": MOST, "margin": None}}


def _study(tmp_path: Path, **changes: Any) -> MadeStudy:
    methods = ["erm", "cce", "focal"]
    made = MadeStudy(tmp_path, spec_of(methods=methods, search={"trials": 1}, confirm=CONFIRM, **changes))
    for method in methods:
        made.complete(method)
    return made


def _tested(trial: Assignment) -> float:
    """CCE is far better than ERM; focal equals ERM up to noise."""
    noise = np.random.default_rng([trial.seed or 0, *trial.cell.method.encode()]).normal(0, 0.005)
    return (0.8 if trial.cell.method == "cce" else 0.5) + float(noise)


@pytest.fixture
def raced(tmp_path: Path) -> MadeStudy:
    made = _study(tmp_path)
    made.confirm(_tested)
    return made


def test_only_the_undecided_comparison_gets_all_seeds(raced: MadeStudy) -> None:
    (table,) = confirmed_tables(open_view(raced.folder))
    seeds = {row.method: row.n for row in table.rows if row.setting == "best"}
    assert seeds["focal"] == seeds["erm"] == MOST
    assert seeds["cce"] < MOST
    assert [row.missing for row in table.rows] == [0] * len(table.rows)


def test_its_p_values_are_those_of_the_sequential_test(raced: MadeStudy) -> None:
    (table,) = confirmed_tables(open_view(raced.folder))
    rows = {row.method: row.by_seed["balanced_accuracy"] for row in table.rows if row.setting == "best"}
    for test in table.against_baseline:
        common = sorted(rows[test.method].keys() & rows["erm"].keys())
        differences = [rows[test.method][seed] - rows["erm"][seed] for seed in common]
        assert test.found.t_test == sequential_test(FIRST, MOST).p_value(differences)
        assert test.found.wilcoxon is None
    assert {test.method: (test.t_holm or 1) < 0.05 for test in table.against_baseline} == {"cce": True, "focal": False}


def test_status_and_overview_count_the_seeds_that_it_asked_for(tmp_path: Path) -> None:
    made = _study(tmp_path)
    made.confirm(_tested, until=3 * FIRST)
    assert open_view(made.folder).state == "interrupted"
    assert sum(cell["confirmation"]["left"] for cell in status_of(tmp_path, "made")["cells"]) >= 2
    made.confirm(_tested)
    view = open_view(made.folder)
    assert view.state == "finished"
    assert [cell.unconfirmed(view.spec) for cell in view.cells] == [0, 0, 0]
    (line,) = overview(tmp_path)
    assert line["done"] == line["trials"] == 3 + sum(len(cell.confirming) for cell in view.cells)


def test_tables_say_that_the_results_decided_the_seeds(raced: MadeStudy) -> None:
    view = open_view(raced.folder)
    console = Console(width=200)
    with console.capture() as captured:
        print_report(confirmed_tables(view), console)
    assert "sequential paired t test" in captured.get() and "Wilcoxon" not in captured.get()
    assert "sequential paired t test" in markdown(paper_table([view]))
    (place,) = results_of(view).places
    assert {test.method: test.p for test in place.tests} == {
        test.method: test.t_holm for test in confirmed_tables(view)[0].against_baseline
    }


def test_the_forecast_names_the_most_that_it_may_cost(tmp_path: Path) -> None:
    spec = spec_of(methods=["erm", "cce"], search={"trials": 2}, confirm=CONFIRM)
    found = forecast(spec, tmp_path)
    assert sum(cell.confirmed_trials for cell in found.cells) >= 2 * MOST
    assert any(f"({FIRST} to {MOST} seeds)" in line for line in forecast_lines(found, spec, tmp_path))
