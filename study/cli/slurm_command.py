"""The command ``study slurm``, and the two commands that its batch script runs in the job."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import DataDir, Name, Overrides, SpecPath, Storage, with_data_folder


def slurm(
    spec: SpecPath,
    nodes: Annotated[int, typer.Option(help="Number of nodes.")],
    time: Annotated[str, typer.Option(help="Wall time of one job, as sbatch writes it: 4:00:00, 1-12.")],
    partition: Annotated[str | None, typer.Option(help="Partition of the cluster.")] = None,
    gpus_per_node: Annotated[str | None, typer.Option(help="GPUs of a node: 4, a100:4.")] = None,
    cpus_per_task: Annotated[int | None, typer.Option(help="Processors of a node [default: whole nodes].")] = None,
    account: Annotated[str | None, typer.Option(help="Account that is charged.")] = None,
    sbatch_arg: Annotated[
        list[str] | None,
        typer.Option("--sbatch-arg", metavar="OPTION", help="Further option of sbatch, --mem=0; may be repeated."),
    ] = None,
    stop_before: Annotated[
        int | None,
        typer.Option(
            metavar="SECONDS",
            help="The study stops so long before the wall time ends [default: 120, at most a third of the wall time].",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue the stored study of this name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the script; write and send nothing.")] = False,
    overrides: Overrides = None,
    storage: Storage = None,
    data_dir: DataDir = None,
) -> None:
    """Send a study to Slurm, to run until it is finished.

    The job stops the study before its wall time ends, puts itself back in the queue, and resumes. The nodes must see
    the storage folder, the data and this installation at the same paths.
    """
    from study.slurm import shared_storage
    from study.slurm.job_options import JobOptions
    from study.slurm.submission import job_script, send
    from study.spec.validation import load_spec
    from study.store.study_folder import local_storage_root

    options = JobOptions(
        nodes=nodes,
        time=time,
        stop_before=stop_before,
        partition=partition,
        account=account,
        cpus_per_task=cpus_per_task,
        gpus_per_node=gpus_per_node,
        sbatch=tuple(sbatch_arg or ()),
    )
    changes = tuple(overrides or ())
    checked = with_data_folder(load_spec(spec, changes), data_dir)
    root = local_storage_root(storage, "study slurm")
    script = job_script(checked, root, options, changes, resume=resume)
    if (doubt := shared_storage.doubt(root)) is not None:
        typer.echo(
            f"warning: {doubt}: the nodes must share the storage folder; name another one with --storage", err=True
        )
    if dry_run:
        typer.echo(script, nl=False)
        return
    sent = send(checked, root, script)
    typer.echo(f"submitted as job {sent.job}")
    typer.echo(f"its log: {sent.log}")
    typer.echo(f"whether it waits: squeue --job {sent.job}; to end it: scancel {sent.job}")
    typer.echo(f"how far it is: study status {checked.name} --storage {shlex.quote(str(root))}")


def slurm_job(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="Study file in the study's folder.")],
    address: Annotated[str, typer.Option(help="Address of the job's Ray cluster.")],
    nodes: Annotated[int, typer.Option(help="Number of nodes that join it.")],
    overrides: Overrides = None,
    storage: Storage = None,
) -> None:
    """Run or resume a study inside its Slurm job."""
    from study.driver.last_signals import hold_signals

    hold_signals()  # importing Ray takes seconds
    from study import terminal
    from study.cli.run_commands import end
    from study.slurm.job_driver import drive
    from study.store.study_folder import local_storage_root

    console = terminal.console()
    root = local_storage_root(storage, "study slurm")
    end(drive(spec, root, tuple(overrides or ()), address=address, nodes=nodes, console=console), storage)


def slurm_next(
    name: Name,
    exit_code: Annotated[int, typer.Option(help="Exit code of the job's driver.")],
    storage: Storage = None,
) -> None:
    """Say whether another job follows: exit code 75 if so, 0 if the study needs none, 1 if it failed."""
    from study.slurm.batch_script import AGAIN
    from study.slurm.next_job import decide
    from study.store.study_folder import StudyFolder, local_storage_root

    decision = decide(StudyFolder(local_storage_root(storage, "study slurm"), name), exit_code)
    typer.echo(decision.why)
    raise typer.Exit(AGAIN if decision.again else int(decision.failed))
