from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import ttest_rel

from study.cli.table_options import table_wish
from study.ledger.cell_ledger import Assignment
from study.report.paper_table import Column, PaperTable, Value, paper_table
from study.report.table_formats import as_csv, caption, escaped, latex, markdown
from study.store.study_view import open_view
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.errors import BadInput

_CCE, _FOCAL = (0.60, 0.62, 0.64), (0.59, 0.63, 0.61)
_ERM = (0.50, 0.51, 0.55)


def _tested(trial: Assignment) -> float:
    seed = (trial.seed or 0) % 10
    return {"erm": _ERM, "cce": _CCE, "focal": _FOCAL}[trial.cell.method][seed]


def _study(tmp_path: Path, name: str = "made", *, confirmed: bool = True, **changes: Any) -> MadeStudy:
    given = {"search": {"trials": 1}, "methods": ["erm", "cce", "focal"], **changes}
    made = MadeStudy(tmp_path, spec_of(name, **given, **({"confirm": {"seeds": 3}} if confirmed else {})))
    for method in ("erm", "cce", "focal"):
        made.complete(method)
    if confirmed:
        made.confirm(_tested)
    return made


@pytest.fixture
def table(tmp_path: Path) -> PaperTable:
    return paper_table([open_view(_study(tmp_path).folder)])


def _body(text: str) -> list[list[str]]:
    """Return the rows of a LaTeX table below its heading."""
    inner = text.split("\\midrule")[1].split("\\bottomrule")[0]
    return [[entry.strip() for entry in row.split("&")] for row in inner.strip().split("\\\\") if row.strip()]


def test_the_best_is_marked_and_the_others_are_tested_against_it(table: PaperTable) -> None:
    (column,) = table.columns
    assert (column.on, table.rows) == ("test", ("erm", "cce", "focal"))
    assert column.values["cce"].best and column.values["cce"].p is None
    erm, focal = (float(ttest_rel(other, _CCE).pvalue) for other in (_ERM, _FOCAL))
    assert column.values["erm"].p == pytest.approx(2 * erm)  # Holm: the smaller of two counts twice
    assert column.values["focal"].p == pytest.approx(max(focal, 2 * erm))
    assert not column.values["erm"].close and column.values["focal"].close


def test_latex_has_the_marks_and_a_caption_of_what_was_done(table: PaperTable) -> None:
    text = latex(table)
    assert _body(text) == [
        ["erm", "$52.00 \\pm 2.65$"],
        ["cce", "$\\mathbf{62.00} \\pm 2.00$"],
        ["focal", "$\\underline{61.00} \\pm 2.00$"],
    ]
    said = " ".join(text.split())
    for part in ("Balanced accuracy", "in percent", "On test images", "over 3 seeds", "paired t test", "$\\geq$ 0.05"):
        assert part in said
    assert "& ratio 10 \\\\" in text and "{digits}" in text and "Study: made." in text


def test_latex_is_balanced_and_free_of_unescaped_signs(table: PaperTable) -> None:
    evil = replace(table.columns[0], dataset="50%_&#x{}~^\\$", values={"a_b": Value(0.5, 0.1, 3, best=True)})
    text = latex(PaperTable("balanced_accuracy", ("a_b",), (evil,)))
    bare = re.sub(r"\\[\\%$&#_{}]|^%.*$", "", text, flags=re.M)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not re.search(r"[%#~]", bare)
    assert re.findall(r"\\begin\{(\w+)\}", text) == re.findall(r"\\end\{(\w+)\}", text)[::-1]
    columns = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)[1]
    assert all(len(row) == len(columns) for row in _body(text))


@pytest.mark.parametrize(("raw", "tex"), [("a_b", "a\\_b"), ("\\", "\\textbackslash{}"), ("5 ± 1", "5 $\\pm$ 1")])
def test_escaping(raw: str, tex: str) -> None:
    assert escaped(raw) == tex


def test_csv_and_markdown_carry_the_same_numbers(table: PaperTable) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [(line["method"], line["setting"], line["on"], line["n"]) for line in lines] == [
        (name, "best", "test", "3") for name in table.rows
    ]
    assert float(lines[1]["mean"]) == pytest.approx(0.62) and float(lines[1]["std"]) == pytest.approx(0.02)
    assert [line["best"] for line in lines] == ["false", "true", "false"]
    assert lines[1]["p_holm"] == "" and float(lines[0]["p_holm"]) == table.columns[0].values["erm"].p
    shown = [line["shown"] for line in lines]
    assert shown == ["52.00 ± 2.65", "62.00 ± 2.00", "61.00 ± 2.00"]
    rows = [line for line in markdown(table).splitlines() if line.startswith("|")][2:]
    plain = [re.sub(r"\*\*|</?ins>", "", row).strip("| ").split(" | ") for row in rows]
    assert plain == [[name, number] for name, number in zip(table.rows, shown, strict=True)]
    assert "| **62.00** ± 2.00 |" in rows[1] and "<ins>61.00</ins>" in rows[2]
    numbers = [re.sub(r"[$\\{}]|mathbf|underline", "", row[1]).replace("pm", "±") for row in _body(latex(table))]
    assert numbers == shown


def test_a_search_without_confirmation_gives_validation_results(tmp_path: Path) -> None:
    found = paper_table([open_view(_study(tmp_path, confirmed=False).folder)])
    assert [column.on for column in found.columns] == ["validation"]
    assert all(value.n == 1 and value.p is None for value in found.columns[0].values.values())
    assert "On validation images" in caption(found) and "test" not in caption(found)
    assert "\\pm" not in latex(found)


def test_presets_get_rows_where_they_are_another_setting(tmp_path: Path) -> None:
    made = MadeStudy(tmp_path, spec_of(search={"trials": 2}, confirm={"seeds": 3}))
    made.complete("erm"), made.complete("erm")
    made.complete("cce", balanced_accuracy=0.1), made.complete("cce", balanced_accuracy=0.9)
    made.confirm(_tested)
    view = open_view(made.folder)
    assert paper_table([view]).rows == ("erm", "cce")
    found = paper_table([view], presets=True)
    assert found.rows == ("erm", "cce", "cce (preset)")
    assert [line["setting"] for line in csv.DictReader(io.StringIO(as_csv(found)))] == ["best", "best", "preset"]


def test_studies_stand_side_by_side(tmp_path: Path) -> None:
    views = [open_view(_study(tmp_path, name, confirmed=name == "one").folder) for name in ("one", "two")]
    found = paper_table(views)
    assert [(column.study, column.on) for column in found.columns] == [("one", "test"), ("two", "validation")]
    text = latex(found)
    assert "\\multicolumn{2}{c}{digits}" in text and "two (validation)" in text
    assert "Studies: one, two." in text and "In columns marked validation" in text


def test_heads_name_data_sets_and_ratios_as_papers_do(tmp_path: Path) -> None:
    profiles = [{"ratio": 100}, {"kind": "step", "ratio": 10, "minority": "odd"}, {"kind": "natural"}]
    data = [
        {"dataset": "cifar10", "profiles": profiles},
        {"dataset": "svhn", "label": "numbers", "profiles": [{"kind": "natural"}]},
    ]
    found = paper_table([open_view(MadeStudy(tmp_path, spec_of(data=data, search={"trials": 1})).folder)])
    heads = [
        "CIFAR-10, ratio 100",
        "CIFAR-10, step of the odd classes, ratio 10",
        "CIFAR-10, natural",
        "numbers, natural",
    ]
    assert [", ".join(column.head) for column in found.columns] == heads
    assert markdown(found).startswith(f"| method | {' | '.join(heads)} |")
    assert "\\multicolumn{3}{c}{CIFAR-10}" in latex(found)
    assert [column.profile for column in found.columns] == ["long_tail-100", "step-odd-10", "natural", "natural"]


def test_an_empty_group_is_a_dash(tmp_path: Path) -> None:
    found = paper_table([open_view(_study(tmp_path).folder)], metric="few")
    assert [row[1] for row in _body(latex(found))] == ["--"] * 3
    assert "A dash" in caption(found)
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert {line["mean"] for line in lines} == {""}


def test_ties_are_all_best_and_losses_are_not_percent() -> None:
    values = {"a": Value(2.0, 0.5, 3, best=True), "b": Value(2.0, 0.5, 3, best=True)}
    found = PaperTable("loss", ("a", "b"), (Column("s", "d", "p", "test", values, "holdout", "last"),))
    assert latex(found).count("\\mathbf{2.0000}") == 2
    assert "percent" not in caption(found)


def test_an_unknown_metric(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="did you mean 'few'"):
        paper_table([open_view(_study(tmp_path).folder)], metric="fwe")


def test_options_name_one_format(tmp_path: Path) -> None:
    off = {"latex": False, "csv": False, "markdown": False, "to": None, "force": False}
    assert table_wish(**off) is None and table_wish(**off, as_json=True) is None
    assert table_wish(**{**off, "to": tmp_path / "t.tex"}).format == "latex"
    assert table_wish(**{**off, "csv": True, "to": tmp_path / "t.txt"}).format == "csv"
    (tmp_path / "old.md").touch()
    for wrong, said in (
        ({"latex": True, "csv": True}, "--latex and --csv exclude each other"),
        ({"to": tmp_path / "t.pdf"}, "must end in .tex, .csv, .md"),
        ({"to": tmp_path / "old.md"}, "--force replaces it"),
    ):
        with pytest.raises(BadInput, match=said):
            table_wish(**{**off, **wrong})
