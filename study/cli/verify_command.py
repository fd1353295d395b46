"""The command ``study verify``: reads everything that is stored of a study, and names what is damaged."""

from __future__ import annotations

from study.cli.options import Name, Storage


def verify(name: Name, storage: Storage = None) -> None:
    """Read all that is stored of a study; name what is damaged.

    Compares the ledger with the files of all trials, and checks the study's own files, the copies of its plug-ins and
    the storage's shared trainings. Reads every file, which other commands do not. Exit code 1 if something is damaged.
    """
    import typer

    from study.store.study_check import check_study
    from study.store.study_folder import SHARED, StudyFolder, storage_root
    from trainables.shared_trainings.stored_trainings import shared_faults

    root = storage_root(storage)
    parts, faults = check_study(StudyFolder(root, name))
    shared, damaged = shared_faults(root / SHARED)
    faults = (*faults, *damaged)
    for fault in faults:
        typer.echo(fault)
    read = ", ".join((*parts, f"{shared} shared training{'' if shared == 1 else 's'}"))
    found = f"{len(faults)} damaged" if faults else "all as it was stored"
    typer.echo(f"checked {read}: {found}")
    raise typer.Exit(1 if faults else 0)
