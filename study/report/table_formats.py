"""Formats of a paper's table: LaTeX with booktabs, Markdown and CSV, all with the same numbers."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Sequence
from itertools import groupby

from study.report.paper_table import LEVEL, UNITLESS, Column, PaperTable, Value
from trainables.core.metric_names import METRICS

_NOTHING = "--"
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "±": r"$\pm$",
    "≥": r"$\geq$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}
_CSV_COLUMNS = (
    *("study", "dataset", "profile", "method", "setting", "metric", "on"),
    *("n", "mean", "std", "best", "p_holm", "shown", "column"),
)


def latex(table: PaperTable) -> str:
    """Return a ``table`` environment, which needs the package booktabs and compiles as it stands."""
    columns, several = _ordered(table), len(table.studies) > 1
    heads = _heads(columns, several=several)
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}",
        "  \\centering",
        f"  \\caption{{{escaped(caption(table))}}}",
        f"  \\label{{tab:{'-'.join(table.studies)}-{table.metric.replace('_', '-')}}}",
        f"  \\begin{{tabular}}{{l{'c' * len(columns)}}}",
        "    \\toprule",
    ]
    for level, head in enumerate(heads):
        lines += _latex_head(head, first="method" if level == len(heads) - 1 else "", last=level == len(heads) - 1)
    lines.append("    \\midrule")
    for row in table.rows:
        entries = [_entry(column.values.get(row), table.metric, _latex_value) for column in columns]
        lines.append("    " + " & ".join([escaped(row), *entries]) + " \\\\")
    return "\n".join([*lines, "    \\bottomrule", "  \\end{tabular}", "\\end{table}", ""])


def markdown(table: PaperTable) -> str:
    """Return a table of GitHub's Markdown with its caption below; ``<ins>`` underlines."""
    columns, several = _ordered(table), len(table.studies) > 1
    names = [", ".join(parts) for parts in zip(*_heads(columns, several=several), strict=True)]
    lines = [
        _markdown_row(["method", *map(_in_markdown, names)]),
        _markdown_row(["---", *("---:" for _ in columns)]),
        *(
            _markdown_row(
                [_in_markdown(row), *(_entry(c.values.get(row), table.metric, _markdown_value) for c in columns)]
            )
            for row in table.rows
        ),
    ]
    return "\n".join([*lines, "", _in_markdown(caption(table)), ""])


def as_csv(table: PaperTable) -> str:
    """Return one line per column and row, with a header.

    ``mean`` and ``std`` are in the metric's own unit and unrounded, ``shown`` is the text of the other formats,
    ``p_holm`` the corrected p value against the best of the column, ``column`` its heading there. A value that is not
    defined is empty.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_CSV_COLUMNS)
    for column in _ordered(table):
        for row in table.rows:
            if (value := column.values.get(row)) is not None:
                method, _, setting = row.partition(" ")
                place = (column.study, column.dataset, column.profile, method, setting.strip("()") or "best")
                numbers = (value.n, _plain(value.mean), _plain(value.deviation), str(value.best).lower())
                p = "" if value.p is None else value.p
                shown = _entry(value, table.metric, _text)
                writer.writerow([*place, table.metric, column.on, *numbers, p, shown, ", ".join(column.head)])
    return file.getvalue()


def caption(table: PaperTable) -> str:
    """Say what the numbers are: metric, images, seeds, marks and the test behind them."""
    said, parts = METRICS[table.metric][0], [table.metric.replace("_", " ").capitalize()]
    if table.metric not in UNITLESS:
        parts[0] += f" ({said}) in percent"
    parts[0] += "."
    kinds = {column.on for column in table.columns}
    if "test" in kinds:
        parts.append(
            f"On test images: mean ± standard deviation over {_seeds(table)}, with the params that the search selected "
            "on validation images."
        )
    if "validation" in kinds:
        where = "In columns marked validation: " if "test" in kinds else "On validation images: "
        parts.append(f"{where}the best trial of each search, one seed; the same images selected it.")
    parts += _marks(table)
    if any(column.on == "test" and column.protocol == "test-select" for column in table.columns):
        parts.append("Under protocol test-select the test images have selected the params too.")
    others = {column.head[0]: column.test_images for column in table.columns if column.test_images is not None}
    parts += [f"{name} has no test split of its own; test images: {found}." for name, found in others.items()]
    if any(column.select == "best" for column in table.columns):
        parts.append("Weights are those of the best epoch on validation images.")
    if any(not math.isfinite(value.mean) for column in table.columns for value in column.values.values()):
        parts.append("A dash: no result, or no class in the group.")
    named = "Studies" if len(table.studies) > 1 else "Study"
    return " ".join([*parts, f"{named}: {', '.join(table.studies)}."])


def _seeds(table: PaperTable) -> str:
    counts = {value.n for column in table.columns if column.on == "test" for value in column.values.values() if value.n}
    if not counts:
        return "0 seeds"
    fewest, most = min(counts), max(counts)
    spread = str(most) if fewest == most else f"{fewest} to {most}"
    return f"{spread} seed{'' if most == 1 else 's'}"


def _marks(table: PaperTable) -> list[str]:
    marks = "Bold: best of a column."
    values = [value for column in table.columns for value in column.values.values()]
    if any(value.p is not None for value in values):
        raced = any(column.raced for column in table.columns)
        test = "sequential paired t test" if raced else "Student's paired t test"
        return [
            f"{marks} Underlined: not significantly worse ({test} over common seeds, two-sided, "
            f"Holm-corrected over the rows of a column, p ≥ {LEVEL:g})."
        ]
    if any(column.on == "test" for column in table.columns):
        return [f"{marks} Not tested: a paired t test needs two seeds."]
    return [marks]


def _ordered(table: PaperTable) -> list[Column]:
    """Return the columns with those of one data set and profile side by side."""
    places = list(dict.fromkeys((column.dataset, column.profile) for column in table.columns))
    datasets = list(dict.fromkeys(dataset for dataset, _ in places))
    return sorted(
        table.columns, key=lambda c: (datasets.index(c.dataset), places.index((c.dataset, c.profile)))
    )  # stable: studies keep their order


def _heads(columns: Sequence[Column], *, several: bool) -> list[list[str]]:
    """Return the levels of the heading, each with one text per column."""
    mixed = len({column.on for column in columns}) > 1
    marked = [" (validation)" if mixed and column.on == "validation" else "" for column in columns]
    levels = [[column.head[0] for column in columns], [column.head[1] for column in columns]]
    if several:
        levels.append([column.study for column in columns])
    levels[-1] = [text + mark for text, mark in zip(levels[-1], marked, strict=True)]
    return levels


def _latex_head(head: list[str], *, first: str, last: bool) -> list[str]:
    if last:
        return ["    " + " & ".join([first, *map(escaped, head)]) + " \\\\"]
    cells, rules, start = [], [], 2
    for text, group in groupby(head):
        width = len(list(group))
        cells.append(f"\\multicolumn{{{width}}}{{c}}{{{escaped(text)}}}")
        rules.append(f"\\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return ["    " + " & ".join([first, *cells]) + " \\\\", "    " + " ".join(rules)]


def escaped(text: str) -> str:
    r"""Return a text in which no character means anything to LaTeX.

    >>> escaped("long_tail 50%")
    'long\\_tail 50\\%'
    """
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _entry(value: Value | None, metric: str, shown: Callable[[Value, str, str], str]) -> str:
    if value is None or not math.isfinite(value.mean):
        return _NOTHING
    scale, digits = (1, 4) if metric in UNITLESS else (100, 2)
    deviation = f"{scale * value.deviation:.{digits}f}" if math.isfinite(value.deviation) else ""
    return shown(value, f"{scale * value.mean:.{digits}f}", deviation)


def _latex_value(value: Value, mean: str, deviation: str) -> str:
    marked = f"\\mathbf{{{mean}}}" if value.best else f"\\underline{{{mean}}}" if value.close else mean
    return f"${marked} \\pm {deviation}$" if deviation else f"${marked}$"


def _markdown_value(value: Value, mean: str, deviation: str) -> str:
    marked = f"**{mean}**" if value.best else f"<ins>{mean}</ins>" if value.close else mean
    return f"{marked} ± {deviation}" if deviation else marked


def _text(value: Value, mean: str, deviation: str) -> str:
    return f"{mean} ± {deviation}" if deviation else mean


def _markdown_row(entries: Sequence[str]) -> str:
    return f"| {' | '.join(entries)} |"


def _in_markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


def _plain(value: float) -> float | str:
    return value if math.isfinite(value) else ""
