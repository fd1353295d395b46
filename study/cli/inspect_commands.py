"""Commands that inspect a stored study: status, show, record, ui."""

from __future__ import annotations

from typing import Annotated

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, Name, NameOrNone, ReadLedger, Storage, read_ledger


def status(
    name: NameOrNone = None, as_json: AsJson = False, storage: Storage = None, ledger: ReadLedger = None
) -> None:
    """Show the progress of a study, cell by cell.

    Without a name, list all stored studies. Nothing is written, so it needs no right to.
    """
    from study import terminal
    from study.report.status import overview, print_overview, print_status, status_of
    from study.store.study_folder import storage_root

    reached = read_ledger(ledger)
    root = storage_root(storage)
    if name is None:
        studies = overview(root, reached)
        if as_json:
            print_json(studies)
        else:
            print_overview(studies, terminal.console(), root)
        return
    found = status_of(root, name, reached)
    if as_json:
        print_json(found)
    else:
        print_status(found, terminal.console())


def show(
    name: Name,
    trials: Annotated[bool, typer.Option("--trials", help="Print every trial first, the leaderboard last.")] = False,
    method: Annotated[
        str | None, typer.Option("--method", metavar="METHOD", help="Show one method, with every trial of it.")
    ] = None,
    as_json: AsJson = False,
    storage: Storage = None,
    ledger: ReadLedger = None,
) -> None:
    """Show the leaderboard, and with --trials every trial.

    Notes say why trials failed. --json prints all trials of search and confirmation.
    """
    from study import terminal
    from study.report.leaderboard import leaderboard_as_json, print_leaderboard
    from study.store.study_folder import StudyFolder, storage_root
    from study.store.study_view import open_view

    folder = StudyFolder(storage_root(storage), name, read_ledger=read_ledger(ledger))
    if as_json:
        print_json(leaderboard_as_json(open_view(folder), method))
        return
    every_trial = trials or method is not None
    print_leaderboard(folder, terminal.console(), every_trial=every_trial, method=method, notes=True)
    if not every_trial:
        typer.echo("Every trial: --trials; those of one method: --method METHOD")


def record(name: Name, storage: Storage = None) -> None:
    """Write to MLflow whatever it is missing of a study."""
    from study.store.study_folder import StudyFolder, storage_root
    from study.tracking import record_study

    summary = record_study(StudyFolder(storage_root(storage), name))
    typer.echo(str(summary))


def ui(
    name: NameOrNone = None,
    storage: Storage = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int | None, typer.Option(help="Port to listen on [default: 5000, with --optuna 8080].")] = None,
    optuna: Annotated[bool, typer.Option("--optuna", help="Start optuna-dashboard on the study's ledger.")] = False,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the pages in a browser.")] = True,
) -> None:
    """Start the MLflow UI on the stored studies.

    Prints and opens two pages of a study, of the newest one without a name: the chart of its cells and its confirmed
    trials. The server listens on this machine only, unless --host says otherwise.
    """
    from study.store.study_folder import storage_root

    if optuna:
        from study.cli.optuna_dashboard import serve_dashboard

        serve_dashboard(storage_root(storage), name, host=host, port=port or 8080, say=typer.echo)
        return
    from study.cli.browser import opener
    from study.tracking.server import serve

    serve(storage_root(storage), host=host, port=port or 5000, study=name, show=opener() if browser else None)
