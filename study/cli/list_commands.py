"""Commands that list the catalog: methods, data sets, search spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, DataDir


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from study.terminal import console, plain_table

    table = plain_table()
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table, markup=False)


def methods(as_json: AsJson = False) -> None:
    """List all methods with paper, equation, presets and params."""
    from study.report.catalog_tables import method_entries

    entries = method_entries()
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        typer.echo("\n".join(_method_lines(entry)))


def _method_lines(entry: dict[str, Any]) -> list[str]:
    from study.report.catalog_tables import title_of

    params = (
        f"{name}={default}" + ("*" if name in entry["searched"] else "") for name, default in entry["params"].items()
    )
    lines = {
        "": entry["equation"],
        "differs from ERM in: ": ", ".join(entry["differs_in"]) or "nothing",
        "presets: ": ", ".join(["recommended", *entry["presets"]]),
        "params (* searched): ": ", ".join(params) or "none",
        "given in part: ": entry["given_in_part"],
    }
    head = f"{entry['name']}: {title_of(entry)} ({entry['paper']})"
    return [head, *(f"    {name}{text}" for name, text in lines.items() if text)]


def datasets(as_json: AsJson = False, data_dir: DataDir = None) -> None:
    """List all data sets and the source of their images."""
    from study.report.catalog_tables import dataset_entries

    entries = dataset_entries(data_dir)
    if as_json:
        print_json(entries)
        return
    columns = ("name", "title", "classes", "source")
    _print_table(columns, [tuple(str(entry[column]) for column in columns) for entry in entries])


def spaces(as_json: AsJson = False) -> None:
    """List the search space of each method: params, ranges, scales."""
    from study.report.catalog_tables import space_entries, unsearched_methods

    entries: list[dict[str, Any]] = space_entries()
    if as_json:
        print_json(entries)
        return
    columns = ("method", "param", "searched", "first trial")
    rows = [tuple(str(entry[column]) for column in columns) for entry in entries]
    rows += [(name, "none", "training params only, if the study searches any", "") for name in unsearched_methods()]
    _print_table(columns, rows)
