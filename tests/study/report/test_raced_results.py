from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import ttest_rel

from study.ledger.cell_ledger import Assignment
from study.report.confirmed_results import confirmed_tables
from study.report.confirmed_tables import print_report, report_as_json
from study.report.forecast import forecast, forecast_lines
from study.report.html.page import Page
from study.report.html.results import results_of
from study.report.paper_table import paper_table
from study.report.status import overview, status_of
from study.report.table_formats import markdown
from study.search.sequential_test import sequential_test
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of

FIRST, MOST = 3, 8
SURE = {"seeds": FIRST, "race": {"at_most": MOST, "confidence": 0.9}}
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


def test_the_report_says_what_the_race_decided(raced: MadeStudy) -> None:
    view = open_view(raced.folder)
    tables = confirmed_tables(view)
    decisions = {test.method: test.decision for test in tables[0].against_baseline}
    cce, focal = decisions["cce"], decisions["focal"]
    assert cce is not None and cce.said == "differs"
    assert focal is not None and focal.said == "undecided"
    rows = {row.method: row.by_seed["balanced_accuracy"] for row in tables[0].rows if row.setting == "best"}
    differences = [rows["focal"][seed] - rows["erm"][seed] for seed in sorted(rows["focal"])]
    assert focal.half_width == pytest.approx(sequential_test(FIRST, MOST).half_width(differences, 0.05 / 2))
    console = Console(width=200)
    with console.capture() as captured:
        print_report(tables, console)
    printed = captured.get()
    assert "differs" in printed and "undecided" in printed and f"{focal.half_width:.4f}" in printed
    (said,) = report_as_json(tables)
    assert {test["method"]: test["decided"] for test in said["against_baseline"]} == {
        "cce": "differs",
        "focal": "undecided",
    }


def test_the_page_says_how_many_seeds_were_trained_and_at_which_level(raced: MadeStudy, tmp_path: Path) -> None:
    html = Page(results_of(open_view(raced.folder))).html()
    assert f"seeds (a race of {FIRST} to {MOST})" in html
    assert "sequential paired t test" in html and "significant below .05" in html
    made = MadeStudy(tmp_path / "other", spec_of(methods=["erm", "cce"], search={"trials": 1}, confirm=SURE))
    for method in ("erm", "cce"):
        made.complete(method)
    made.confirm(_tested)
    html = Page(results_of(open_view(made.folder))).html()
    assert "significant below .1." in html
    trained = {trial.confirms or 0 for cell in open_view(made.folder).cells for trial in cell.confirming}
    assert f"confirmation {min(trained)} to {max(trained)}" in html


def test_best_against_preset_is_the_plain_test_since_presets_do_not_race(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(methods=["erm", "cce"], search={"trials": 2}, confirm=CONFIRM))
    for method in ("erm", "cce"):
        made.complete(method)
        made.complete(method, balanced_accuracy=0.9)
    made.confirm(lambda trial: _tested(trial) + float(np.sin(1e3 * trial.params.get("gamma", 0) * (trial.seed or 1))))
    (table,) = confirmed_tables(open_view(made.folder))
    (test,) = (test for test in table.against_preset if test.method == "cce")
    rows = {row.setting: row.by_seed["balanced_accuracy"] for row in table.rows if row.method == "cce"}
    first = sorted(rows["preset"])
    assert len(first) == FIRST == test.found.n
    expected = ttest_rel([rows["best"][seed] for seed in first], [rows["preset"][seed] for seed in first])
    assert test.found.t_test == pytest.approx(float(expected.pvalue))
    assert test.decision is None


def test_a_report_before_the_first_confirmation_says_so(tmp_path: Path) -> None:
    console = Console(width=200)
    with console.capture() as captured:
        print_report(confirmed_tables(open_view(_study(tmp_path).folder)), console)
    assert "No confirmation trial has ended yet." in captured.get()
    assert "Paired over" not in captured.get()


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
