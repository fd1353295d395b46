"""The command ``study verify``: compares a study's ledger with all files of its trials."""

from __future__ import annotations

from study.cli.options import Name, Storage


def verify(name: Name, storage: Storage = None) -> None:
    """Compare a study's ledger with the files of all its trials.

    Reads every file, which other commands do not. Exit code 1 if something is damaged.
    """
    import typer

    from study.store.study_folder import StudyFolder, storage_root
    from study.store.study_view import damage_in

    trials, faults = damage_in(StudyFolder(storage_root(storage), name))
    for fault in faults:
        typer.echo(fault)
    typer.echo(f"{trials} trials, " + (f"{len(faults)} faults" if faults else "all as their files say"))
    raise typer.Exit(1 if faults else 0)
