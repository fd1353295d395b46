"""The command ``study submit``, and the command that its job runs on the head."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.cli.options import DataDir, Overrides, OverridesFile, SpecPath, Storage, overrides_of, with_data_folder

if TYPE_CHECKING:
    from study.driver.submit import Sent


def submit(
    spec: SpecPath,
    address: Annotated[str, typer.Option(help="Dashboard of the cluster, for example http://127.0.0.1:8265.")],
    overrides: Overrides = None,
    set_from: OverridesFile = None,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Absolute folder that all nodes share, s3:// or gs:// [default: the head's STUDY_STORAGE].",
        ),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option(help="Folder of data sets on the nodes [default: the head's STUDY_DATA_DIR].")
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Continue the stored study of this name; --set changes what a resume may change.")
    ] = False,
    follow: Annotated[bool, typer.Option(help="Follow the job's output until it ends.")] = False,
    code: Annotated[
        bool, typer.Option("--code/--no-code", help="Send the code of this installation, or use the cluster's.")
    ] = True,
) -> None:
    """Submit a study to a Ray cluster as a job.

    The same study submitted again starts no second driver: the job that runs it is named, and --follow follows it. A
    stored study that was stopped is continued.
    """
    from study.driver import submit as jobs
    from study.driver.exit_codes import ExitCode
    from study.driver.job_log import follow as follow_job

    sent = jobs.submit(
        spec,
        address=address,
        overrides=overrides_of(set_from, overrides),
        resume=resume,
        storage=storage,
        data_dir=data_dir,
        code=code,
        say=typer.echo,
    )
    if sent.running:
        typer.echo(
            f"this study runs already, as {sent.job}; nothing was sent{'' if follow else ' (--follow follows it)'}"
        )
    if sent.finished:
        _say_finished(sent)
    elif sent.storage:
        typer.echo(f"its storage on the cluster: {sent.storage}")
    if not follow:
        if not sent.finished:
            typer.echo("the same command with --follow shows its output; to end it:")
            typer.echo(shlex.join(["ray", "job", "stop", sent.job, "--address", address]))
        return
    try:
        code_of_job = follow_job(address, sent.job, say=lambda said: typer.echo(said, err=True))
    except KeyboardInterrupt:
        typer.echo(f"\nthe study goes on as {sent.job}; the same command follows it again", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    raise typer.Exit(code_of_job)


def _say_finished(sent: Sent) -> None:
    """Say that there was nothing to train, and how to see what there is."""
    typer.echo(f"study '{sent.study}' is finished: {sent.finished}")
    typer.echo("nothing was trained (a raised limit needs --resume, too); on a machine that sees its storage:")
    typer.echo(shlex.join(["study", "show", sent.study, *(["--storage", sent.storage] if sent.storage else [])]))


def submitted(
    spec: SpecPath,
    overrides: Overrides = None,
    set_from: OverridesFile = None,
    storage: Storage = None,
    data_dir: DataDir = None,
    resume: bool = False,
) -> None:
    """Run or resume a study inside the job that `study submit` sent."""
    from study.driver.last_signals import hold_signals

    hold_signals()  # the imports below take seconds
    from study import terminal
    from study.cli.run_commands import end
    from study.driver import cluster_job
    from study.driver.log_lines import STORED_IN
    from study.slurm import shared_storage
    from study.spec.validation import load_spec

    console = terminal.console()
    root = cluster_job.job_storage(storage)
    changes = overrides_of(set_from, overrides)
    checked = None if resume else with_data_folder(load_spec(spec, changes), data_dir)
    if isinstance(root, Path) and (doubt := shared_storage.doubt(root)) is not None:
        console.print(f"warning: {doubt}: nodes that join later must share it", style="yellow", highlight=False)
    console.print(f"{STORED_IN}{root}", highlight=False)
    outcome = cluster_job.drive(spec, root, changes, resume=resume, data_dir=data_dir, spec=checked, console=console)
    end(outcome, str(root))
