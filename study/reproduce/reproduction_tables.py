"""A reproduction as a printed table and as Markdown: ours beside the paper's."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console

from study.reproduce.joined_figures import Joined
from study.reproduce.own_results import Own
from study.reproduce.published import PAPERS
from study.reproduce.reproduction_plan import Plan
from study.terminal import plain_table

HEADINGS = ("paper", "ours", "n", "difference", "within spread")


def print_reproduction(plan: Plan, joined: list[Joined], console: Console) -> None:
    """Print the figures of each column of the paper's table below one another, and what to know of them."""
    for line in title_lines(plan):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for column, figures in groupby(joined, key=lambda one: one.column):
        console.print()
        grid = plain_table(_column_title(plan, column))
        for heading in ("row", "our method"):
            grid.add_column(heading, no_wrap=True)
        for heading in HEADINGS:
            grid.add_column(heading, justify="right", no_wrap=True)
        grid.add_column("", overflow="fold")
        for one in figures:
            grid.add_row(one.row, one.method or "-", *_cells(one, plan.table.decimals), _remark(one))
        console.print(grid, highlight=False, markup=False)
    console.print()
    for note in notes(plan, joined):
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def reproduction_markdown(plan: Plan, joined: list[Joined]) -> str:
    """Return the reproduction as Markdown: title, one table, notes."""
    title, *below = title_lines(plan)
    head = ["column", "row", "our method", *HEADINGS, "remark"]
    lines = [f"## {title}", "", *[f"{line}  " for line in below], ""]
    lines += ["| " + " | ".join(head) + " |", "|---|---|---|---:|---:|---:|---:|---|---|"]
    lines += [
        "| "
        + " | ".join([one.column, one.row, one.method or "-", *_cells(one, plan.table.decimals), _remark(one)])
        + " |"
        for one in joined
    ]
    return "\n".join([*lines, "", *[f"- {note}" for note in notes(plan, joined)]])


def title_lines(plan: Plan) -> list[str]:
    """Return name and content of the table, and in capitals how the reproduction departs from it."""
    table = plan.table
    where = f"{table.kind} {table.number}" if table.kind != "text" else "text"
    lines = [f"{table.name}: {table.shows}", f"{PAPERS[table.paper]}, {where}; percent, {_measure(plan)}"]
    if plan.labels:
        said = "; ".join(plan.labels)
        lines.append(said if plan.changes.comparable else f"NOT COMPARABLE with the paper at full length: {said}")
    return lines


def _measure(plan: Plan) -> str:
    return "error, the smaller the better" if plan.table.error else "the larger the better"


def _column_title(plan: Plan, column: str) -> str:
    changes = plan.changes
    parts = [f"scale {changes.scale:g}"] if changes.scale < 1 else []
    parts += [f"ours on {changes.dataset}"] if changes.dataset is not None else []
    return f"{plan.table.name}, {column}" + (f" ({', '.join(parts)})" if parts else "")


def _cells(one: Joined, decimals: int) -> tuple[str, ...]:
    return (
        "" if one.paper is None else one.paper.shown(decimals),
        "" if one.own is None else _own(one.own),
        "" if one.own is None else str(one.own.n),
        "" if one.difference is None else f"{one.difference:+.2f}",
        _verdict(one),
    )


def _own(own: Own) -> str:
    return f"{own.mean:.2f}" if own.deviation is None else f"{own.mean:.2f} +-{own.deviation:.2f}"


def _verdict(one: Joined) -> str:
    if one.difference is None:
        return ""
    if not one.judged:
        return "not judged"
    return "unknown" if one.within is None else "yes" if one.within else "no"


def _remark(one: Joined) -> str:
    return "; ".join([*([one.why_not] if one.why_not else []), *([f"doubtful: {one.doubt}"] if one.doubt else [])])


def notes(plan: Plan, joined: list[Joined]) -> list[str]:
    """Return which spread was used, what images ours are of, and the notes of the table."""
    found, table = [], plan.table
    if any(one.own is not None for one in joined):
        found.append(_spread_note(plan, joined))
        images = {one.own.images for one in joined if one.own is not None}
        if "validation" in images:
            found.append("Ours are of held-out training images, not of test images.")
        if "folds" in images:
            found.append("Ours are of the held-out folds: mean and deviation over the folds.")
    elif plan.studies:
        same = " with the same options" if plan.changes.suffix else ""
        found.append(f"Nothing is trained yet: study reproduce {table.name}{same} and without --show trains it.")
    return [*found, *(f"{note}" for note in table.notes)]


def _spread_note(plan: Plan, joined: list[Joined]) -> str:
    if not plan.changes.comparable:
        return "Differences are shown and not judged: a shortened or changed training says nothing about the paper's."
    spreads = sorted({one.spread for one in joined if one.difference is not None and one.spread is not None})
    if not spreads:
        return "No spread is known, neither ours (one training) nor the paper's (it gives none): nothing is judged."
    over = f" (the paper's {plan.table.deviation})" if plan.table.deviation else ""
    return (
        f"Within spread: the difference is at most the sum of the deviations of {', or of '.join(spreads)}{over}; "
        "ours is the sample deviation over n trainings with other seeds."
    )
