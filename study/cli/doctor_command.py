"""The command ``study doctor``: prints diagnostics of this machine."""

from __future__ import annotations

from study.cli.options import DataDir, Storage


def doctor(storage: Storage = None, data_dir: DataDir = None) -> None:
    """Diagnose this machine.

    Checks packages, devices, memory, storage, data, the cluster token and Slurm. Exit code 1 if a check fails.
    """
    import typer

    from study import terminal
    from study.cli.diagnostics import findings
    from study.store.study_folder import storage_root

    console = terminal.console()
    bad = 0
    for finding in findings(storage_root(storage), data_dir):
        mark = "[green]ok[/green]  " if finding.good else "[red]bad[/red] "
        console.print(f"{mark} {finding.subject}: {finding.text}", highlight=False)
        bad += not finding.good
    raise typer.Exit(1 if bad else 0)
