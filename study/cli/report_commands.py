"""Commands that report results: report, compare, export."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Annotated

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, Name, Storage
from study.cli.table_options import Csv, Force, Latex, Markdown, To, table_wish
from trainables.core.errors import BadInput, counted


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
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with all results and figures.")] = None,
    figures: Annotated[Path | None, typer.Option("--figures", help="Folder for its pictures as SVG and PDF.")] = None,
    storage: Storage = None,
) -> None:
    """Report test-set results with paired significance tests.

    With --latex, --csv or --markdown, print one table of methods x data sets and profiles.
    With --html or --figures, write the study's page instead; it also shows an unconfirmed study.
    """
    wish = table_wish(latex=latex, csv=csv, markdown=markdown, to=to, force=force, as_json=as_json)
    from study import terminal
    from study.report.confirmed_results import confirmed_tables
    from study.report.confirmed_tables import print_report, report_as_json
    from study.store.study_folder import StudyFolder, storage_root
    from study.store.study_view import open_view

    page = html is not None or figures is not None
    if page and (wish is not None or as_json):
        raise BadInput("--html and --figures exclude --json, --latex, --csv, --markdown and --to: one format at a time")
    view = open_view(StudyFolder(storage_root(storage), name))
    if page:
        from study.report.html.page import write_page

        for path in write_page(view, html=html, figures=figures, metric=metric, baseline=baseline):
            typer.echo(f"wrote {path}")
        return
    if wish is not None:
        from study.report.paper_table import paper_table

        wish.write(paper_table([view], metric=metric, presets=presets))
        return
    found = confirmed_tables(view, metric=metric, baseline=baseline)
    if as_json:
        print_json(report_as_json(found))
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
        print_json(entries)
    else:
        print_comparison(entries, metric, terminal.console())


def export(
    name: Name,
    to: Annotated[Path | None, typer.Option("--to", help="Parquet file of trials and epochs to write.")] = None,
    per_class: Annotated[
        Path | None, typer.Option("--per-class", help="Parquet file of recall and confusion per class to write.")
    ] = None,
    responses: Annotated[
        Path | None,
        typer.Option("--responses", help="Parquet file of the expected best at every ratio to write."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    storage: Storage = None,
) -> None:
    """Export a study to Parquet.

    One table has all trials and epochs, another the results per class, a third what the best setting of every method
    is expected to reach at every ratio; docs/export.md describes every column.
    """
    options = {"--to": to, "--per-class": per_class, "--responses": responses}
    named = {option: path for option, path in options.items() if path is not None}
    if not named:
        raise BadInput(
            "study export: name a file with --to FILE.parquet, --per-class FILE.parquet or --responses FILE.parquet"
        )
    for (first, path), (second, other) in combinations(named.items(), 2):
        if path.resolve() == other.resolve():
            raise BadInput(f"{first} and {second}: both name {path}; they are two tables")
    from study.report.class_export import export_classes
    from study.report.export import export_study
    from study.report.parquet_file import check_target
    from study.report.response_export import export_responses
    from study.search.ratio_response import NEEDED
    from study.store.study_folder import StudyFolder, storage_root

    for option, path in named.items():
        check_target(path, option, force=force)  # all before the first file is written
    folder = StudyFolder(storage_root(storage), name)
    writers = {"--to": export_study, "--per-class": export_classes, "--responses": export_responses}
    for option, path in named.items():
        rows = writers[option](folder, path, force=force)
        why = f": no method has {NEEDED}" if option == "--responses" and not rows else ""
        typer.echo(f"wrote {counted(rows, 'row')} to {path}{why}")
