"""The published figures: every table is there, and agrees with itself, with the other tables and with the prose."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from study.reproduce.published import PublishedTable, published_tables, read_published, table_named
from study.reproduce.reproduction_plan import plan
from study.spec.cell import expand
from trainables.core.errors import BadInput
from trainables.core.metric_names import METRICS

TABLES = {table.name: table for table in published_tables()}

# What the papers contain, counted in their texts; CCE's table 1 is a definition.
RESULTS = {
    "cce": ([f"table-{n}" for n in range(2, 10)], 4),
    "offset": ([f"table-{n}" for n in (1, 2, 3)], 13),
    "elm": ([f"table-{n}" for n in (1, 2, 3)], 20),
    "m2m": ([f"table-{n}" for n in (1, 2, 3, 4)], 11),
    "affinity": ([*(f"table-{n}" for n in (1, 2, 3, 4)), *(f"figure-{n}" for n in (5, 6, 7, 8)), "text-faces"], 8),
}
# Rows and columns as the papers print them.
SHAPES = {
    "cce/table-2": (4, 4),
    "cce/table-3": (4, 4),
    "cce/table-4": (4, 4),
    "cce/table-5": (4, 4),
    "cce/table-6": (6, 4),
    "cce/table-7": (6, 1),
    "cce/table-8": (6, 4),
    "cce/table-9": (10, 5),
    "offset/table-1": (13, 8),
    "offset/table-3": (4, 8),
    "elm/table-1": (20, 8),
    "elm/table-2": (15, 3),
    "elm/table-3": (15, 3),
    "m2m/table-1": (11, 8),
    "m2m/table-2": (11, 8),
    "m2m/table-3": (6, 2),
    "m2m/table-4": (6, 4),
    "affinity/table-1": (8, 2),
    "affinity/table-2": (5, 2),
    "affinity/table-3": (21, 2),
    "affinity/table-4": (4, 1),
}


def _value(table: str, row: str, column: str) -> float:
    figure = TABLES[table].at(row, column).figure
    assert figure is not None
    return figure.mean


def _column(table: str, column: str) -> dict[str, float]:
    entries = TABLES[table].entries()
    return {one.row: one.figure.mean for one in entries if one.column == column and one.figure is not None}


def test_every_table_with_results_and_every_parameter_figure_has_a_file() -> None:
    found = {paper: [name.partition("/")[2] for name in TABLES if name.startswith(f"{paper}/")] for paper in RESULTS}
    assert found == {paper: tables for paper, (tables, _) in RESULTS.items()}


@pytest.mark.parametrize("name", SHAPES)
def test_a_table_has_the_papers_rows_and_columns(name: str) -> None:
    assert (len(TABLES[name].rows), len(TABLES[name].columns)) == SHAPES[name]


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_headings_are_unique_and_doubts_name_figures(table: PublishedTable) -> None:
    for parts in (table.rows, table.columns):
        assert len({part.heading for part in parts}) == len(parts)
    assert all(table.doubt(one.row, one.column) for one in table.doubtful)


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_figure_has_a_cell_of_a_study_or_a_reason(table: PublishedTable) -> None:
    planned = plan(table)
    cells = {
        key: {(cell.dataset, cell.profile.partition("-fold")[0], cell.method): cell for cell in expand(study.spec)}
        for key, study in planned.studies.items()
    }
    for entry in planned.entries:
        place = entry.place
        assert (place.study is None) <= bool(place.not_run), entry
        if place.not_run:
            continue
        assert place.metric in METRICS
        if entry.figure is None and (place.dataset, place.profile, place.method) not in cells[place.study, place.model]:
            continue  # a method that the paper does not show there
        cell = cells[place.study or "", place.model][place.dataset, place.profile, place.method]
        for name, value in (place.params or {}).items():
            assert value in cell.space[name].examples, entry


def test_deviations_are_given_where_the_table_says_over_what() -> None:
    for table in TABLES.values():
        figures = [entry.figure for entry in table.entries() if entry.figure is not None]
        assert {figure.deviation is not None for figure in figures} <= {table.deviation is not None}, table.name


@pytest.mark.parametrize("name", ["offset/table-1", "offset/table-3"])
@pytest.mark.parametrize(("dataset", "classes"), [("ImageNet-LT", (385, 479, 136)), ("Places-LT", (131, 163, 71))])
def test_all_is_the_mean_over_many_medium_and_few_classes(
    name: str, dataset: str, classes: tuple[int, int, int]
) -> None:
    table = TABLES[name]
    for row in table.rows:
        figures = [table.at(row.heading, f"{dataset} {group}").figure for group in ("many", "medium", "few", "all")]
        *groups, every = (None if figure is None else figure.mean for figure in figures)
        if None in groups or every is None:
            continue
        mean = sum(count * (value or 0) for count, value in zip(classes, groups, strict=True)) / sum(classes)
        doubtful = table.doubt(row.heading, f"{dataset} all")
        assert (abs(mean - every) < 0.5) or (doubtful and row.heading == "OLTR"), row.heading


@pytest.mark.parametrize("row", [row.heading for row in TABLES["m2m/table-4"].rows])
def test_balanced_accuracy_is_the_mean_over_major_and_minor_classes(row: str) -> None:
    major, minor, mean = (_value("m2m/table-4", row, column) for column in ("major", "minor", "bACC"))
    near = abs((2 * major + 8 * minor) / 10 - mean) < 0.11
    assert near == (TABLES["m2m/table-4"].doubt(row, "bACC") is None)


def test_a_geometric_mean_is_at_most_the_arithmetic_one() -> None:
    for name in ("m2m/table-1", "m2m/table-2", "m2m/table-3", "m2m/table-4"):
        for column in TABLES[name].columns:
            if column.heading.endswith("bACC"):
                other = _column(name, column.heading.replace("bACC", "GM"))
                for row, mean in _column(name, column.heading).items():
                    assert other[row] <= mean, (name, row)


def test_more_guesses_are_never_worse() -> None:
    for name in ("elm/table-2", "elm/table-3"):
        for row in TABLES[name].rows:
            first, third, fifth = (figure.mean for figure in row.figures if figure is not None)
            assert first < third < fifth


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("cce/table-9", "gamma -1", column), ("cce/table-2", "CCE", column))
        for column in ("LT 10", "LT 100", "step 10", "step 100")
    ]
    + [
        (("offset/table-3", row, f"{data} {group}"), ("offset/table-1", row, f"{data} {group}"))
        for row in ("Baseline", "Ours w/o UC", "Ours")
        for data in ("ImageNet-LT", "Places-LT")
        for group in ("many", "medium", "few", "all")
    ]
    + [
        (("offset/table-2", row, "ResNet-10"), ("offset/table-1", row, "ImageNet-LT all"))
        for row in ("Baseline", "WVN+RS", "cRT", "tau-norm", "LWS", "Ours")
    ]
    + [(("m2m/table-3", "all", column), ("m2m/table-1", "ERM + M2m", f"C10 100 {column}")) for column in ("bACC", "GM")]
    + [(("m2m/table-4", "M2m", column), ("m2m/table-1", "ERM + M2m", f"C10 100 {column}")) for column in ("bACC", "GM")]
    + [
        (("m2m/table-4", "ERM-RS", column), ("m2m/table-1", "ERM + RS", f"C10 100 {column}"))
        for column in ("bACC", "GM")
    ]
    + [(("cce/table-7", "EfficientNet_b0 + CCE", "accuracy"), ("cce/table-6", "EfficientNet_b0", "CCE"))],
)
def test_a_figure_that_stands_in_two_tables_is_the_same(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    assert TABLES[one[0]].at(*one[1:]).figure == TABLES[other[0]].at(*other[1:]).figure


@pytest.mark.parametrize(
    ("table", "more", "less", "gain", "relative"),
    [
        ("cce/table-6", ("ResNet-101", "CCE"), ("ResNet-101", "ERM"), 11.02, False),
        ("offset/table-2", ("Ours", "ResNet-10"), ("cRT", "ResNet-10"), 1.1, False),
        ("offset/table-2", ("Ours", "ResNeXt-152"), ("LWS", "ResNeXt-152"), 3.8, False),
        ("elm/table-2", ("ELM (1.0)", "top 1"), ("LDAM", "top 1"), 4.96, False),
        ("m2m/table-2", ("LDAM + M2m", "Reuters bACC"), ("ERM", "Reuters bACC"), 17.1, True),
        ("m2m/table-2", ("LDAM + M2m", "Reuters bACC"), ("LDAM + DRW", "Reuters bACC"), 9.2, True),
        ("affinity/table-2", ("Affinity Loss", "5 classes"), ("CoSen CNN", "5 classes"), 10.9, False),
        ("affinity/table-2", ("Affinity Loss", "10 classes"), ("CoSen CNN", "10 classes"), 7.7, False),
    ],
)
def test_gains_that_the_texts_state(
    table: str, more: tuple[str, str], less: tuple[str, str], gain: float, relative: bool
) -> None:
    high, low = _value(table, *more), _value(table, *less)
    found = 100 * (high - low) / low if relative else high - low
    assert found == pytest.approx(gain, abs=0.051 if relative else 1e-6)


@pytest.mark.parametrize(
    ("seeds", "accuracy", "mean"),
    [(10, -4.34, -5.27), (50, -2.68, -3.21), (100, -2.30, -2.83), (200, -2.04, -2.44), (500, -1.15, -1.29)],
)
def test_relative_gaps_that_m2ms_table_3_prints(seeds: int, accuracy: float, mean: float) -> None:
    for column, gap in (("bACC", accuracy), ("GM", mean)):
        whole = _value("m2m/table-3", "all", column)
        found = 100 * (_value("m2m/table-3", f"{seeds} seeds", column) - whole) / whole
        assert round(found, 2) == gap


def _best(table: str, column: str) -> set[str]:
    values = _column(table, column)
    return {row for row, value in values.items() if value == max(values.values())}


def test_the_method_of_a_paper_is_best_where_its_text_says_so() -> None:
    for name in ("cce/table-2", "cce/table-3", "cce/table-4", "cce/table-5"):
        for column in (column.heading for column in TABLES[name].columns):
            assert ("CCE" in _best(name, column)) == (TABLES[name].doubt("CCE", column) is None), (name, column)
    for name in ("cce/table-6", "cce/table-8"):
        for row in TABLES[name].rows:
            means = [figure.mean for figure in row.figures if figure is not None]
            assert (means[-1] == max(means)) == (TABLES[name].doubt(row.heading, "CCE") is None), (name, row.heading)
    assert all(all("DRW" in r and r.startswith("ELM") for r in _best("elm/table-1", c.heading))
               for c in TABLES["elm/table-1"].columns)  # fmt: skip
    for column in ("ImageNet-LT all", "Places-LT all"):
        assert _best("offset/table-1", column) == {"Ours"}
    assert _best("offset/table-1", "ImageNet-LT many") == {"Ours w/o UC"}
    assert _best("offset/table-1", "ImageNet-LT medium") == {"Ours"}
    assert _best("offset/table-2", "SUN397") == {"Ours"}
    # "almost all": step 100 is the exception
    columns = [column.heading for column in TABLES["cce/table-9"].columns]
    assert [c for c in columns if _best("cce/table-9", c) != {"gamma -1"}] == ["step 100"]
    for name in ("m2m/table-1", "m2m/table-2"):
        for column in (column.heading for column in TABLES[name].columns if column.heading.endswith("bACC")):
            assert all("M2m" in row for row in _best(name, column)), (name, column)


def test_more_seed_images_are_better_in_m2ms_table_3() -> None:
    for column in ("bACC", "GM"):
        assert all(one < other for one, other in pairwise(_column("m2m/table-3", column).values()))


def test_a_bad_file_names_file_key_and_value(tmp_path: Path) -> None:
    good = {"paper": "cce", "number": "2", "shows": "x", "columns": [{"heading": "a"}]}
    file = tmp_path / "cce-table-2.yaml"
    for rows, said in (
        ([{"heading": "ERM", "figures": [101]}], r"rows\[0\]\.figures\[0\].*less than or equal to 100"),
        ([{"heading": "ERM", "figures": ["87,2"]}], r"rows\[0\]\.figures\[0\]"),
        ([{"heading": "ERM", "figures": [1, 2]}], "row 'ERM' must have 1 figures, one per column, got 2"),
    ):
        file.write_text(yaml.safe_dump({**good, "rows": rows}))
        with pytest.raises(BadInput, match=said) as caught:
            read_published(file)
        assert str(caught.value).startswith(str(file))


def test_a_table_is_found_by_name_and_a_wrong_name_gets_the_nearest() -> None:
    assert table_named("cce/table-9").rows[0].params == {"gamma": -1}
    with pytest.raises(BadInput, match="did you mean 'cce/table-9'"):
        table_named("cce/tabel-9")
    with pytest.raises(BadInput, match="unknown table"):
        table_named("../../etc")
