"""Commands that report results: report, compare, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import AsJson, Name, Storage
from study.cli.table_options import Csv, Force, Latex, Markdown, To, table_wish


def report(
    name: Name,
    metric: Annotated[str | None, typer.Option(help="Metric to test [default: the study's].")] = None,
    baseline: Annotated[str | None, typer.Option(help="Method to test against [default: ERM].")] = None,
    as_json: AsJson = False,
    latex: Latex = False,
    csv: Csv = False,
    markdown: Markdown = False,
    presets: Annotated[bool, typer.Option("--presets", help="Show presets in such a table too.")] = False,
    to: To = None,
    force: Force = False,
    storage: Storage = None,
) -> None:
    """Report test-set results with paired significance tests.

    With --latex, --csv or --markdown, print one table of methods x data sets and profiles.
    """
    wish = table_wish(latex=latex, csv=csv, markdown=markdown, to=to, force=force, as_json=as_json)
    from study import terminal
    from study.report.confirmed_results import confirmed_tables
    from study.report.confirmed_tables import print_report, report_as_json
    from study.store.study_folder import StudyFolder, storage_root
    from study.store.study_view import open_view

    view = open_view(StudyFolder(storage_root(storage), name))
    if wish is not None:
        from study.report.paper_table import paper_table

        wish.write(paper_table([view], metric=metric, presets=presets))
        return
    found = confirmed_tables(view, metric=metric, baseline=baseline)
    if as_json:
        typer.echo(json.dumps(report_as_json(found), indent=1))
    else:
        print_report(found, terminal.console())


def compare(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of stored studies.")],
    metric: Annotated[str, typer.Option(help="Metric to show.")] = "balanced_accuracy",
    as_json: AsJson = False,
    latex: Latex = False,
    csv: Csv = False,
    markdown: Markdown = False,
    to: To = None,
    force: Force = False,
    storage: Storage = None,
) -> None:
    """Compare the results of several studies side by side."""
    wish = table_wish(latex=latex, csv=csv, markdown=markdown, to=to, force=force, as_json=as_json)
    from study import terminal
    from study.report.comparison import compared, print_comparison, views_of
    from study.store.study_folder import StudyFolder, storage_root

    folders = [StudyFolder(storage_root(storage), name) for name in names]
    if wish is not None:
        from study.report.paper_table import paper_table

        wish.write(paper_table(views_of(folders), metric=metric))
        return
    entries = compared(folders, metric)
    if as_json:
        typer.echo(json.dumps(entries, indent=1))
    else:
        print_comparison(entries, metric, terminal.console())


def export(
    name: Name,
    to: Annotated[Path, typer.Option("--to", help="Parquet file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    storage: Storage = None,
) -> None:
    """Export all trials and epochs of a study to one Parquet file."""
    from study.report.export import export_study
    from study.store.study_folder import StudyFolder, storage_root

    rows = export_study(StudyFolder(storage_root(storage), name), to, force=force)
    typer.echo(f"wrote {rows} rows to {to}")
