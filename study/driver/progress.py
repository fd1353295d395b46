"""The display of a running study: finished trials, the best value of every cell, time left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from study.driver.bounded import FAREWELL, within
from study.ledger.cell_ledger import CellLedger
from study.ledger.study_ledger import Ledger
from study.spec.confirmed_settings import CONFIRM
from study.terminal import plain_table, trial_count
from trainables.core.object_path import StorageFault
from trainables.core.patience import ServiceAway
from trainables.core.step_progress import WRITTEN_EVERY, StepProgress

if TYPE_CHECKING:
    from study.driver.trial_manager import TrialManager

_LINE_EVERY = 10.0
_TABLE_EVERY = 1.0


class Progress:
    """Shows a live table on a terminal, and a line every few seconds elsewhere."""

    def __init__(self, ledger: Ledger, console: Console) -> None:
        """Show the state of ``ledger`` on ``console``."""
        self._ledger, self._console = ledger, console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._manager: TrialManager | None = None
        self._said: dict[str, float] = {}
        self._last_line = ""
        self._shown = time.monotonic()
        self._pace_from: tuple[float, int] | None = None
        self._first_epoch: StepProgress | None = None
        self._ending: list[str] = []
        self._looked = -WRITTEN_EVERY
        self.hurried: Callable[[], bool] = lambda: False
        """Whether the study was told to end. Its last display then waits for the ledger no longer than `FAREWELL`."""

    def attach(self, manager: TrialManager) -> None:
        """Take the number of trained epochs, and so the pace, from ``manager``."""
        self._manager = manager

    def __enter__(self) -> Progress:
        """Start showing."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Show the final state and stop."""
        if self.hurried():
            with suppress(TimeoutError):
                within(FAREWELL, partial(self.show, force=True))
        else:
            self.show(force=True)
        if self._live is not None:
            self._live.stop()

    def say(self, message: str) -> None:
        """Print a message on a separate line."""
        self._console.print(message, style="yellow", highlight=False)

    def show(self, *, force: bool = False) -> None:
        """Show the state, unless it was shown a moment ago."""
        every = _TABLE_EVERY if self._live is not None else _LINE_EVERY
        if not force and time.monotonic() - self._shown < every:
            return
        self._shown = time.monotonic()
        with suppress(ServiceAway, StorageFault):  # whoever runs trials says so; a display is no reason to stop
            if self._live is not None:
                self._live.update(self._table(), refresh=True)
            elif (line := self._line()) != self._last_line:
                self._last_line = line
                self._console.print(line, highlight=False)

    def _line(self) -> str:
        lines = [self._overall()]
        for name, cell in self._ledger.cells.items():
            best = _best(cell)
            if best is not None and best != self._said.get(name):
                self._said[name] = best
                lines.append(f"  best of {name}: {best:.4f}")
        return "\n".join(lines)

    def _table(self) -> RenderableType:
        table = plain_table()
        confirms = self._ledger.study.confirm is not None
        best_of = f"best {self._ledger.study.search.metrics[0]}"
        for column in ("cell", "trials", "pruned", "failed", best_of, *(["confirmed"] if confirms else [])):
            table.add_column(column, justify="left" if column == "cell" else "right")
        search = self._ledger.study.search
        by_epochs, trials = search.budget == "epochs", search.trials
        for name, cell in self._ledger.cells.items():
            states, counts = cell.state_counts(), cell.trial_counts()
            best = _best(cell)
            ended = states["COMPLETE"] + states["PRUNED"] + states["FAIL"]
            table.add_row(
                name,
                f"{ended}/{ended + counts.running + counts.remaining}" if by_epochs else f"{ended}/{trials}",
                str(states["PRUNED"]),
                str(states["FAIL"]),
                "" if best is None else f"{best:.4f}",
                *([str(self._confirmed(name))] if confirms else []),
            )
        return Group(table, Text(self._overall()))

    def _overall(self) -> str:
        total = self._ledger.total()
        counted = trial_count(total - self._ledger.remaining(), total, exact=self._ledger.total_is_exact())
        return f"{counted} trials{self._at_work()}{self._time_left()}"

    def _confirmed(self, name: str) -> int:
        states = self._ledger.confirmation.cells[f"{name}/{CONFIRM}"].state_counts()
        return states["COMPLETE"] + states["FAIL"]

    def _at_work(self) -> str:
        """Describe the running trials: the first epoch may take hours, and what follows the last one minutes."""
        manager = self._manager
        if manager is None or not manager.running:
            return ""
        self._look(manager)
        said = [f"{manager.running} running"]
        if manager.epochs_seen or self._first_epoch is None:
            said.append(f"{manager.epochs_seen} epochs trained since the start")
        if self._first_epoch is not None:
            said.append(str(self._first_epoch))
        said += [f"{number} {doing}" for doing, number in sorted(Counter(self._ending).items())]
        return "".join(f", {part}" for part in said)

    def _look(self, manager: TrialManager) -> None:
        """Read what trials do within an epoch from their folders, no oftener than it is written."""
        now = time.monotonic()
        if now - self._looked >= WRITTEN_EVERY:
            self._looked = now
            self._first_epoch, self._ending = manager.in_first_epoch(), manager.after_training()

    def _time_left(self) -> str:
        """Estimate the time left; empty until the pace is known."""
        seen = self._manager.epochs_seen if self._manager else 0
        if not self._ledger.remaining():
            return ", 0:00:00 left"
        now = time.monotonic()
        if self._pace_from is None and seen:
            self._pace_from = (now, seen)  # measured from the first epoch: Ray's start is no part of the pace
        if self._pace_from is None or seen == self._pace_from[1]:
            return ""
        pace = (now - self._pace_from[0]) / (seen - self._pace_from[1])
        left = timedelta(seconds=round(self._ledger.remaining_epochs() * pace))
        bound = "" if self._ledger.total_is_exact() else "at most "
        return f", {bound}about {left} left"


def _best(cell: CellLedger) -> float | None:
    best = cell.best()
    return None if best is None else best.values[0]
