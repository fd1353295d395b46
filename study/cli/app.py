"""The command ``study``. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from study.commands import catalogue, doctor, replaying, reports, running, shared, stored, train
from trainables.errors import BadInput

app = typer.Typer(
    name="study",
    help="Hyperparameter studies of class-imbalanced image classification.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command(name="run")(running.run)
app.command(name="resume")(running.resume)
app.command(name="submit")(running.submit)
app.command(name="status")(stored.status)
app.command(name="show")(stored.show)
app.command(name="report")(reports.report)
app.command(name="compare")(reports.compare)
app.command(name="record")(stored.record)
app.command(name="export")(stored.export)
app.command(name="replay")(replaying.replay)
app.command(name="ui")(stored.ui)
app.command(name="shared")(shared.shared)
app.command(name="train")(train.train)
app.command(name="methods")(catalogue.methods)
app.command(name="datasets")(catalogue.datasets)
app.command(name="spaces")(catalogue.spaces)
app.command(name="doctor")(doctor.doctor)


def main() -> None:
    """Run the command; what the user gave wrongly becomes one message and exit code 2."""
    try:
        app()
    except BadInput as error:
        # soft_wrap: a path broken over two lines can be neither searched for nor pasted
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
