"""Commands that report results: report, compare, export."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import AsJson, Name, Storage


def report(
    name: Name,
    metric: Annotated[str | None, typer.Option(help="Metric to test [default: the study's].")] = None,
    baseline: Annotated[str | None, typer.Option(help="Method to test against [default: ERM].")] = None,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with all results and figures.")] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Folder for its pictures as SVG and PDF.")] = None,
    storage: Storage = None,
) -> None:
    """Report test-set results with paired significance tests.

    With --html or --figures, write the study's page instead; it also shows an unconfirmed study.
    """
    from study import terminal
    from study.report.confirmed_results import confirmed_tables
    from study.report.confirmed_tables import print_report, report_as_json
    from study.store.study_folder import StudyFolder, storage_root
    from study.store.study_view import open_view

    view = open_view(StudyFolder(storage_root(storage), name))
    if html is not None or figures is not None:
        from study.report.html.page import write_page

        for path in write_page(view, html=html, figures=figures, metric=metric, baseline=baseline):
            typer.echo(f"wrote {path}")
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
    storage: Storage = None,
) -> None:
    """Compare the results of several studies side by side."""
    from study import terminal
    from study.report.comparison import compared, print_comparison
    from study.store.study_folder import StudyFolder, storage_root

    entries = compared([StudyFolder(storage_root(storage), name) for name in names], metric)
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
