"""The command ``study doctor``: prints diagnostics of this machine and of the services that a study uses."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Annotated

import typer

from study.cli.options import AsJson, DataDir, Storage


def doctor(
    address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to check: auto, host:port, or its job server, http://127.0.0.1:8265."),
    ] = None,
    storage: Storage = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
    on_head: Annotated[bool, typer.Option("--on-head", hidden=True)] = False,
) -> None:
    """Check this machine and what its studies use.

    Says how to mend what is wrong. Checks packages, devices, storage, disk space, data, the cluster token, Slurm, the
    ledger's database (STUDY_LEDGER) and MLflow (STUDY_TRACKING_URI). With --address also the Ray cluster, node by node.
    Through a job server, the head checks itself and its nodes, and --storage and --data-dir are folders there. Exit
    code 1 if a check fails.
    """
    from rich.markup import escape

    from study import terminal
    from study.cli.diagnostics import Finding, findings
    from study.cli.head_diagnostics import head_findings, own_findings
    from study.cli.json_output import print_json
    from study.cli.service_diagnostics import service_findings
    from study.store.study_folder import storage_place

    found: Iterable[Finding]
    if address is not None and address.startswith(("http://", "https://")):
        found = head_findings(address, storage, data_dir)
    elif on_head:
        found = own_findings(storage, data_dir)
    else:
        root = storage_place(storage)
        found = chain(findings(root, data_dir), service_findings(root, data_dir, address))
    if as_json:
        listed = list(found)
        print_json([finding._asdict() for finding in listed])
        raise typer.Exit(0 if all(finding.good for finding in listed) else 1)
    console = terminal.console()
    bad = 0
    for finding in found:
        mark = "[green]ok[/green] " if finding.good else "[red]bad[/red]"
        console.print(f"{mark} {escape(f'{finding.subject}: {finding.text}')}", highlight=False)
        if not finding.good and finding.mend:
            console.print(f"      mend: {finding.mend}", highlight=False, markup=False)
        bad += not finding.good
    raise typer.Exit(1 if bad else 0)
