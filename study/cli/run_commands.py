"""Commands that train: run, resume."""

from __future__ import annotations

import shlex
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import typer

from study.cli.options import (
    Address,
    DataDir,
    MovedDataDir,
    Name,
    Overrides,
    OverridesFile,
    SpecPath,
    Storage,
    overrides_of,
    with_data_folder,
)

if TYPE_CHECKING:
    from pathlib import Path

    from study.driver.outcome import Outcome


def run(
    spec: SpecPath,
    address: Address = None,
    overrides: Overrides = None,
    set_from: OverridesFile = None,
    storage: Storage = None,
    data_dir: DataDir = None,
) -> None:
    """Run a new study from a study file."""
    from study.driver.exit_codes import ExitCode
    from study.driver.last_signals import hold_signals
    from study.spec.validation import load_spec
    from study.store.study_folder import storage_root

    try:
        hold_signals()
        checked = with_data_folder(load_spec(spec, overrides_of(set_from, overrides)), data_dir)
        from study import terminal
        from study.driver import driver  # imports Optuna: a bad study file is refused before that
        from study.driver.restart import Again

        console = terminal.console()
        folder = storage_root(storage)
        again = Again(checked.name, folder)
        outcome = driver.run(checked, folder, address=address, console=console, source=str(spec), again=again)
    except KeyboardInterrupt:
        typer.echo("interrupted before anything was trained")
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    end(outcome, storage)


def resume(
    name: Name,
    address: Address = None,
    overrides: Overrides = None,
    set_from: OverridesFile = None,
    storage: Storage = None,
    data_dir: MovedDataDir = None,
) -> None:
    """Resume a stored study.

    --set search.trials=N raises the number of trials. Data are read from where they were when the study began, whatever
    STUDY_DATA_DIR says now; --data-dir names a new location.
    """
    from study.driver.exit_codes import ExitCode
    from study.driver.last_signals import hold_signals

    try:
        hold_signals()  # the imports below take seconds
        outcome = _resumed(name, address, overrides_of(set_from, overrides), storage, data_dir)
    except KeyboardInterrupt:
        words = ["study", "resume", name, *(["--address", address] if address else []), *_named(storage)]
        typer.echo(f"interrupted before anything was trained; nothing is lost: {shlex.join(words)}")
        raise typer.Exit(int(ExitCode.INTERRUPTED)) from None
    end(outcome, storage)


def _resumed(
    name: str, address: str | None, changes: tuple[str, ...], storage: str | None, data_dir: Path | None
) -> Outcome:
    from study import terminal
    from study.driver import driver
    from study.driver.restart import Again
    from study.store.study_folder import storage_root

    folder, console = storage_root(storage), terminal.console()
    again = Again(name, folder)
    return driver.resume(name, folder, changes, address=address, console=console, data_dir=data_dir, again=again)


def end(outcome: Outcome, storage: str | None) -> None:
    """Print the leaderboard and the outcome of a study, and exit with its code."""
    from study import terminal
    from study.driver.bounded import FAREWELL, within
    from study.driver.exit_codes import ExitCode
    from study.driver.last_signals import study_ends_with
    from study.ledger.storage import ClosedLedger
    from study.report.leaderboard import print_leaderboard
    from trainables.core.object_path import StorageFault
    from trainables.core.patience import ServiceAway

    study_ends_with(int(outcome.code))
    console = terminal.console()
    if not outcome.idle and outcome.readable:
        # the message says why the study stopped, and how to go on
        with suppress(StorageFault, ServiceAway, ClosedLedger, TimeoutError):
            show = partial(print_leaderboard, outcome.folder, console)
            within(FAREWELL, show) if outcome.code == ExitCode.INTERRUPTED else show()
    console.print(outcome.message, highlight=False)
    console.print(f"Compare the runs in MLflow with: {shlex.join(['study', 'ui', *_named(storage)])}", highlight=False)
    raise typer.Exit(int(outcome.code))


def _named(storage: str | None) -> list[str]:
    return ["--storage", storage] if storage else []
