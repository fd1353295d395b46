"""The list of ``study reproduce``: every table, what it shows, the data it needs, hours, cells and trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from study.reproduce.needed_data import Need, need_of
from study.reproduce.published import PublishedTable
from study.reproduce.reproduction_cost import Cost, MeasureStudy, cost_of
from study.reproduce.reproduction_plan import Plan, plan
from study.terminal import plain_table
from trainables.core.storage_path import StoragePath

_FACES = "faces"


@dataclass(frozen=True)
class Listed:
    """One line of the list."""

    table: PublishedTable
    needs: tuple[Need, ...]
    cost: Cost

    @property
    def runnable(self) -> str:
        """How much of the table can be trained here: ``yes``, ``in part``, ``with data``, ``no``."""
        if not self.cost.cells or all(need.access == "not to be had" for need in self.needs):
            return "no"
        trains = [need.trains for need in self.needs]
        return "yes" if all(trains) else "in part" if any(trains) else "with data"

    def to_json(self) -> dict[str, Any]:
        """Return the line as a JSON-ready object."""
        return {
            "name": self.table.name,
            "shows": self.table.shows,
            "figures": sum(entry.figure is not None for entry in self.table.entries()),
            "data": [{"dataset": need.dataset, "access": need.access, "said": need.said} for need in self.needs],
            "runnable": self.runnable,
            "cells": self.cost.cells,
            "trials": self.cost.trials,
            "hours": self.cost.hours,
            "hours_source": self.cost.source,
        }


def listed(
    table: PublishedTable,
    storage: StoragePath,
    data_dir: Path | None,
    *,
    planned: Plan | None = None,
    measure: MeasureStudy | None = None,
) -> Listed:
    """Return the line of a table.

    Args:
        table: the table.
        storage: folder of studies, whose recorded trials give rates.
        data_dir: folder of data sets, or None.
        planned: the table's plan; None plans it whole.
        measure: measures rates now.
    """
    its = planned or plan(table)
    return Listed(table, needs_of(its, data_dir), cost_of(its, storage, measure))


def needs_of(planned: Plan, data_dir: Path | None) -> tuple[Need, ...]:
    """Return the data sets that a plan needs; `faces` for a table that no study trains."""
    names = [data.dataset for study in planned.studies.values() for data in study.spec.data]
    return tuple(need_of(name, data_dir) for name in dict.fromkeys(names or [_FACES]))


def print_list(lines: list[Listed], console: Console) -> None:
    """Print one row per table."""
    grid = plain_table()
    grid.add_column("name", no_wrap=True)
    grid.add_column("shows", overflow="fold", min_width=30)
    grid.add_column("data", overflow="fold", min_width=16)
    grid.add_column("runs here", no_wrap=True)
    for column in ("cells", "trials", "hours"):
        grid.add_column(column, justify="right", no_wrap=True)
    for line in lines:
        data = ", ".join(map(str, line.needs))
        cells, trials = str(line.cost.cells or ""), str(line.cost.trials or "")
        grid.add_row(line.table.name, line.table.shows, data, line.runnable, cells, trials, hours_text(line.cost))
    console.print(grid, highlight=False, markup=False)
    console.print()
    for note in list_notes(lines):
        console.print(note, highlight=False, markup=False, soft_wrap=True)


def list_notes(lines: list[Listed]) -> list[str]:
    """Return what the list does not say itself: how data are had, and where the hours come from."""
    needs = {need.dataset: need for line in lines for need in line.needs if need.access in ("by hand", "not to be had")}
    sources = {line.cost.source for line in lines}
    notes = [f"{need.dataset} is {_had(need)}: {need.said}" for need in needs.values()]
    if "one core" in sources:
        notes.append(
            "hours with 'core': one processor core, from a measured rate of the network; validation and what a method "
            "costs more than ERM are left out, and so is what trials share."
        )
    if "recorded" in sources:
        notes.append("other hours: at most, from the wall time of trials recorded in the storage folder.")
    return [*notes, "Run one: study reproduce NAME; --show prints it without training; --scale 0.1 shortens it."]


def _had(need: Need) -> str:
    return "had by hand" if need.access == "by hand" else "not to be had"


def hours_text(cost: Cost) -> str:
    """Return hours in two digits, with ``core`` where they are those of one core; ``?`` if unknown."""
    if cost.hours is None:
        return "?" if cost.cells else ""
    shown = f"{cost.hours:,.0f}" if cost.hours >= 10 else f"{cost.hours:.2g}"
    return f"{shown} core" if cost.source == "one core" else shown
