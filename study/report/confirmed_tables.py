"""``study report``: confirmed results as printed tables and as JSON."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console

from study.report.confirmed_results import TEST_METRICS, Comparison, Row, Table
from study.report.precisions import mixed, precision_line
from study.report.significance import WILCOXON_FROM
from study.spec.confirm_spec import RaceSpec
from study.terminal import plain_table
from trainables.core.metric_names import METRICS

RACED = (
    "Against the baseline, p(t) is from the sequential paired t test: it is valid although the results decided how "
    "many seeds were trained. Against the preset, it is from the paired t test. Both are two-sided. "
    "Holm: corrected over methods."
)
PLAIN = "p(t): paired t test; p(W): Wilcoxon's signed-rank test; both two-sided. Holm: corrected over methods."
SHORT = {"balanced_accuracy": "bal acc", "geometric_mean": "g-mean"}


def print_report(tables: list[Table], console: Console) -> None:
    """Print the confirmed results of each data set and profile, and the paired tests."""
    for table in tables:
        console.print()
        _print_rows(table, console)
        if (missing := undefined(table)) is not None:
            console.print(missing, style="yellow", highlight=False, markup=False)
            continue
        for tests, said in ((table.against_baseline, "best against best of"), (table.against_preset, "best against")):
            if tests:
                console.print()
                _print_tests(tests, f"{table.metric}, {said} {tests[0].against}", console)
    console.print()
    for note in _notes(tables):
        console.print(note, highlight=False)


def undefined(table: Table) -> str | None:
    """Say that the metric of a table has no value for any evaluated setting, and why; else None."""
    evaluated = [row for row in table.rows if row.n]
    if not evaluated or any(math.isfinite(row.mean(table.metric)) for row in evaluated):
        return None
    group = METRICS[table.metric][0].removeprefix("mean recall of ")
    why = f"there are no {group}" if group.startswith("classes ") else "no trial has a value of it"
    return (
        f"{table.metric} is not defined on {table.dataset} {table.profile}: {why}; nothing is tested. --metric"
        " names another."
    )


def _print_rows(table: Table, console: Console) -> None:
    shown = list(dict.fromkeys((table.metric, *TEST_METRICS)))
    grid = plain_table(f"{table.dataset} {table.profile}: test images, mean and standard deviation over seeds")
    for column in ("method", "setting"):
        grid.add_column(column, no_wrap=True)
    for column in ("n", *(SHORT.get(name, name) for name in shown)):
        grid.add_column(column, justify="right", no_wrap=True)
    for row in table.rows:
        left = f" ({row.missing} missing)" if row.missing else ""
        same = " = preset" if row.shared and row.setting == "best" else ""
        if not (row.shared and row.setting == "preset"):
            grid.add_row(row.method, f"{row.setting}{same}", f"{row.n}{left}", *(spread(row, name) for name in shown))
    console.print(grid, highlight=False)


def spread(row: Row, metric: str) -> str:
    """Return mean and standard deviation as text; empty without a finite mean."""
    mean, deviation = row.mean(metric), row.deviation(metric)
    if not math.isfinite(mean):
        return ""
    return f"{mean:.4f}" if not math.isfinite(deviation) else f"{mean:.4f} +-{deviation:.4f}"


def _print_tests(tests: tuple[Comparison, ...], title: str, console: Console) -> None:
    grid = plain_table(title)
    grid.add_column("method", no_wrap=True)
    raced = tests[0].decision is not None
    p_columns = ("p(t)", "Holm p(t)") if raced else ("p(t)", "Holm p(t)", "p(W)", "Holm p(W)")
    for column in ("n", "difference", *(("+-",) if raced else ()), *p_columns):
        grid.add_column(column, justify="right", no_wrap=True)
    if raced:
        grid.add_column("decided", no_wrap=True)
    for test in tests:
        found = test.found
        p_values = (found.t_test, test.t_holm, found.wilcoxon, test.wilcoxon_holm)[: len(p_columns)]
        shown = [test.method, str(found.n), f"{found.difference:+.4f}" if found.n else ""]
        if test.decision is None:
            grid.add_row(*shown, *map(_p, p_values))
        else:
            half = test.decision.half_width
            width = f"{half:.4f}" if math.isfinite(half) else "-"
            grid.add_row(*shown, width, *map(_p, p_values), test.decision.said)
    console.print(grid, highlight=False)


def _p(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}" if value >= 0.0001 else "<0.0001"


def _decided(race: RaceSpec) -> str:
    same = "" if race.margin is None else f"same: difference +- half the repeated interval is within {race.margin:g}. "
    return f"Decided: differs: Holm p(t) is at most {1 - race.confidence:.2g}. {same}Undecided: neither."


def _notes(tables: list[Table]) -> list[str]:
    fewest = min((row.n for table in tables for row in table.rows), default=0)
    race = next((table.race for table in tables if table.race is not None), None)
    if not any(row.n for table in tables for row in table.rows):
        return ["No confirmation trial has ended yet."]
    notes = [
        *((RACED, _decided(race)) if race is not None else (PLAIN,)),
        f"Paired over at least {fewest} common seeds. A seed sets initial weights and order, not the images: the tests "
        "say nothing about other data sets.",
    ]
    if fewest < WILCOXON_FROM and race is None:
        notes.append(f"Wilcoxon's test needs {WILCOXON_FROM} nonzero differences: with fewer, p cannot reach .05.")
    if not any(table.against_baseline or undefined(table) for table in tables):
        notes.append("No comparison with a baseline: the study has no ERM. --baseline METHOD names another one.")
    if any(table.protocol == "test-select" for table in tables):
        notes.append("Protocol test-select: params were selected on these test images, so the results are optimistic.")
    drawn = {table.dataset: table.test_images for table in tables if table.test_images is not None}
    notes += [
        f"Test images of {dataset}: {found}; it has no test split of its own." for dataset, found in drawn.items()
    ]
    if any(table.select == "best" for table in tables):
        notes.append("Every trial was evaluated with the weights of its best epoch on validation images.")
    merged = sum((Counter(table.precisions) for table in tables), Counter[tuple[str, str]]())
    return [*notes, precision_line(merged)] if merged else notes


def report_as_json(tables: list[Table]) -> list[dict[str, Any]]:
    """Return tables as JSON-ready objects, with None for NaN."""
    return [
        {
            "dataset": table.dataset,
            "profile": table.profile,
            "protocol": table.protocol,
            "test_images": table.test_images,
            "metric": table.metric,
            "select": table.select,
            "undefined": undefined(table),
            "precisions": [
                {"precision": precision, "device": device, "trials": count}
                for (precision, device), count in table.precisions.items()
            ],
            "precisions_are_mixed": mixed(table.precisions),
            "rows": [_row(row) for row in table.rows],
            "against_baseline": [_test(test) for test in table.against_baseline],
            "against_preset": [_test(test) for test in table.against_preset],
        }
        for table in tables
    ]


def metrics_as_json(row: Row) -> dict[str, Any]:
    """Return mean, standard deviation and values by seed of every metric as JSON-ready values."""
    return {
        name: {
            "mean": number(row.mean(name)),
            "std": number(row.deviation(name)),
            "by_seed": {str(seed): number(value) for seed, value in seeds.items()},
        }
        for name, seeds in row.by_seed.items()
    }


def _row(row: Row) -> dict[str, Any]:
    about = {"method": row.method, "setting": row.setting, "best_is_preset": row.shared, "n": row.n}
    about["epochs"] = {str(seed): epoch for seed, epoch in row.epochs.items()}
    return {**about, "missing": row.missing, "params": row.params, "metrics": metrics_as_json(row)}


def _test(test: Comparison) -> dict[str, Any]:
    found = asdict(test.found) | {"difference": number(test.found.difference)}
    about = {"method": test.method, "against": test.against}
    found |= {"t_test_holm": test.t_holm, "wilcoxon_holm": test.wilcoxon_holm}
    if test.decision is not None:
        found |= {"decided": test.decision.said, "half_width": number(test.decision.half_width)}
    return {**about, **found}


def number(value: float) -> float | None:
    """Return a finite number, or None: JSON has no NaN."""
    return value if math.isfinite(value) else None
