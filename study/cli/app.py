"""The command ``study``. Each subcommand imports heavy packages only when it runs."""

from __future__ import annotations

import sys
import traceback

import typer
from rich.console import Console

from study.cli import (
    check_command,
    doctor_command,
    inspect_commands,
    list_commands,
    logit_commands,
    remove_command,
    replay_command,
    report_commands,
    reproduce_command,
    run_commands,
    shared_commands,
    slurm_command,
    submit_command,
    train_command,
    verify_command,
)
from study.driver.exit_codes import ExitCode
from study.driver.last_signals import end_process
from trainables.core.errors import BadInput
from trainables.core.object_path import StorageFault
from trainables.core.url_secrets import masked

app = typer.Typer(
    name="study",
    help="Hyperparameter studies of class-imbalanced image classification.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(name="run")(run_commands.run)
app.command(name="check")(check_command.check)
app.command(name="resume")(run_commands.resume)
app.command(name="submit")(submit_command.submit)
app.command(name="submitted", hidden=True)(submit_command.submitted)
app.command(name="slurm")(slurm_command.slurm)
app.command(name="slurm-job", hidden=True)(slurm_command.slurm_job)
app.command(name="slurm-next", hidden=True)(slurm_command.slurm_next)
app.command(name="status")(inspect_commands.status)
app.command(name="show")(inspect_commands.show)
app.command(name="report")(report_commands.report)
app.command(name="compare")(report_commands.compare)
app.command(name="calibration")(logit_commands.calibration)
app.command(name="ensemble")(logit_commands.ensemble)
app.command(name="adjust")(logit_commands.adjust)
app.command(name="verify")(verify_command.verify)
app.command(name="record")(inspect_commands.record)
app.command(name="export")(report_commands.export)
app.command(name="rm")(remove_command.remove)
app.command(name="replay")(replay_command.replay)
app.command(name="reproduce")(reproduce_command.reproduce)
app.command(name="ui")(inspect_commands.ui)
app.command(name="shared")(shared_commands.shared)
app.command(name="train")(train_command.train)
app.command(name="methods")(list_commands.methods)
app.command(name="models")(list_commands.models)
app.command(name="datasets")(list_commands.datasets)
app.command(name="spaces")(list_commands.spaces)
app.command(name="doctor")(doctor_command.doctor)


def main() -> None:
    """Run the command; bad input ends in one message and exit code 2, object storage that went away with 1.

    A command that has trained a study ends its process here, with that study's exit code (`study.driver.last_signals`).
    """
    try:
        code = _exit_code()
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    end_process(code)
    sys.exit(code)


def _exit_code() -> int:
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BadInput as error:
        # soft_wrap: a path that is broken over two lines cannot be searched for or pasted
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return ExitCode.BAD_INPUT
    except StorageFault as error:
        said = f"error: {error.strerror}"
        Console(stderr=True).print(said, style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception:
        # a fault of this program; libraries put whole URLs into their errors
        print(masked(traceback.format_exc()), end="", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    main()
