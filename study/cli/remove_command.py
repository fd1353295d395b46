"""The command ``study rm``: removes a stored study after asking."""

from __future__ import annotations

from typing import Annotated

import typer

from study.cli.options import Name, Storage


def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    storage: Storage = None,
) -> None:
    """Remove a stored study: its trials, checkpoints and ledger.

    MLflow's runs and the trainings that trials share stay. A study that is being run is refused.
    """
    from study.store.removal import holdings, remove_study
    from study.store.study_folder import StudyFolder, storage_root
    from trainables.core.errors import BadInput

    folder = StudyFolder(storage_root(storage), name)
    found = holdings(folder)
    if folder.is_driven():
        raise BadInput(f"study '{name}' is being run by another process now; stop that first")
    typer.echo(f"deletes {folder.path}: {found.trials} trials, {found.files} files, {found.bytes / 1e6:.1f} MB")
    if found.ledger is not None:
        typer.echo(f"deletes the ledger of the study in {found.ledger}")
    typer.echo("stays: its runs in MLflow (delete them in `study ui`), trainings shared with other studies")
    typer.echo("       (`study shared --unused-days 0` removes those), and its best params in later warm starts")
    if not yes:
        typer.confirm(f"Delete study '{name}'?", abort=True)
    remove_study(folder)
    typer.echo(f"removed study '{name}'")
