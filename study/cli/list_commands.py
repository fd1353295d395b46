"""Commands that list the catalog: methods, networks, data sets, search spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, DataDir, Plugins, use_plugins


def _print_table(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from study.terminal import console, plain_table

    table = plain_table()
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console().print(table, markup=False)


def methods(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Show this method only, in full.")] = None,
    as_json: AsJson = False,
    plugins: Plugins = None,
) -> None:
    """List all methods, or show one in full.

    The list names paper, equation, presets and params.
    """
    use_plugins(plugins)
    if name is not None:
        _show_method(name, as_json)
        return
    from study.report.catalog_tables import method_entries

    entries = method_entries()
    if as_json:
        print_json(entries)
        return
    for entry in entries:
        typer.echo("\n".join(_method_lines(entry)))


def _show_method(name: str, as_json: bool) -> None:
    from study.report.method_page import in_yaml, method_page, page_lines, preset_rows

    page = method_page(name)
    if as_json:
        print_json(page)
        return
    typer.echo("\n".join(page_lines(page)))
    typer.echo()
    if page["hyperparameters"]:
        columns = ("param", "default", "allowed", "searched")
        _print_table(
            columns,
            [
                (entry["param"], in_yaml(entry["default"]), entry["allowed"], entry["searched"] or "no")
                for entry in page["hyperparameters"]
            ],
        )
    else:
        typer.echo("It has no params.")
    typer.echo()
    _print_table(("preset", "params"), preset_rows(page))


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


def models(
    pattern: Annotated[
        str | None, typer.Argument(help="Names to list, with * and ?; 'timm/vit_tiny*' lists networks of timm.")
    ] = None,
    as_json: AsJson = False,
    plugins: Plugins = None,
) -> None:
    """List networks with parameters, features, input and paper.

    Those of timm are listed with the tags of their weights.
    """
    use_plugins(plugins)
    from study.report.catalog_tables import model_entries

    entries = model_entries(pattern)
    if as_json:
        print_json(entries)
        return
    columns = ("name", "parameters", "features", "input", "weights" if "weights" in entries[0] else "paper")
    rows = [{**entry, "parameters": f"{entry['parameters']:,}" if entry["parameters"] else ""} for entry in entries]
    _print_table(columns, [tuple(_cell(row[column]) for column in columns) for row in rows])
    typer.echo("parameters: without the head, for colour images " + _sizes(entries))


def _cell(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _sizes(entries: Sequence[dict[str, Any]]) -> str:
    if "weights" not in entries[0]:
        return "of 32 x 32 pixels; `study models 'timm/*'` lists the networks of timm"
    few = "" if entries[0]["features"] is not None else "; a pattern that fits fewer networks shows them"
    return f"of the network's own size{few}"


def datasets(as_json: AsJson = False, data_dir: DataDir = None, plugins: Plugins = None) -> None:
    """List all data sets and the source of their images."""
    use_plugins(plugins)
    from study.report.catalog_tables import dataset_entries

    entries = dataset_entries(data_dir)
    if as_json:
        print_json(entries)
        return
    columns = ("name", "title", "classes", "source")
    _print_table(columns, [tuple(str(entry[column]) for column in columns) for entry in entries])


def spaces(as_json: AsJson = False, plugins: Plugins = None) -> None:
    """List the search space of each method: params, ranges, scales."""
    use_plugins(plugins)
    from study.report.catalog_tables import space_entries, unsearched_methods

    entries: list[dict[str, Any]] = space_entries()
    if as_json:
        print_json(entries)
        return
    columns = ("method", "param", "searched", "first trial")
    rows = [tuple(str(entry[column]) for column in columns) for entry in entries]
    rows += [(name, "none", "training params only, if the study searches any", "") for name in unsearched_methods()]
    _print_table(columns, rows)
