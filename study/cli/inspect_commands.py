"""Commands that inspect a stored study: status, show, record, ui."""

from __future__ import annotations

from typing import Annotated

import typer

from study.cli.json_output import print_json
from study.cli.options import AsJson, Name, NameOrNone, Storage


def status(name: NameOrNone = None, as_json: AsJson = False, storage: Storage = None) -> None:
    """Show the progress of a study, cell by cell.

    Without a name, list all stored studies.
    """
    from study import terminal
    from study.report.status import overview, print_overview, print_status, status_of
    from study.store.study_folder import storage_root

    root = storage_root(storage)
    if name is None:
        studies = overview(root)
        if as_json:
            print_json(studies)
        else:
            print_overview(studies, terminal.console(), root)
        return
    found = status_of(root, name)
    if as_json:
        print_json(found)
    else:
        print_status(found, terminal.console())


def show(name: Name, storage: Storage = None) -> None:
    """Show the leaderboard and every trial of each cell."""
    from study import terminal
    from study.report.leaderboard import print_leaderboard
    from study.store.study_folder import StudyFolder, storage_root

    print_leaderboard(StudyFolder(storage_root(storage), name), terminal.console(), every_trial=True)


def record(name: Name, storage: Storage = None) -> None:
    """Write to MLflow whatever it is missing of a study."""
    from study.store.study_folder import StudyFolder, storage_root
    from study.tracking import record_study

    summary = record_study(StudyFolder(storage_root(storage), name))
    typer.echo(str(summary))


def ui(
    storage: Storage = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
) -> None:
    """Start the MLflow UI on the stored studies.

    The server listens on this machine only, unless --host says otherwise.
    """
    from study.store.study_folder import storage_root
    from study.tracking.server import serve

    serve(storage_root(storage), host=host, port=port)
