"""Progress lines of a running study without a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from study.driver.progress import Progress
from study.ledger.study_ledger import Ledger


class Watched:
    """A progress report on an empty ledger, with a trial manager and a clock set by the test."""

    def __init__(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.manager = 0.0, SimpleNamespace(epochs_seen=0, running=0)
        monkeypatch.setattr("study.driver.progress.time.monotonic", lambda: self.now)
        self._file = io.StringIO()
        self._progress = Progress(ledger, Console(file=self._file, width=200))
        manager: Any = self.manager
        self._progress.attach(manager)

    def said(self, *, after: float, epochs: int, running: int = 1) -> str:
        """Return the line printed ``after`` seconds later, when ``epochs`` epochs have been trained in total."""
        self.now += after
        self.manager.epochs_seen, self.manager.running = epochs, running
        begin = self._file.tell()
        self._progress.show(force=True)
        return self._file.getvalue()[begin:].rstrip("\n")


@pytest.fixture
def watched(open_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(open_ledger(), monkeypatch)


def test_the_time_left_is_said_once_it_is_known(watched: Watched) -> None:
    assert watched.said(after=10, epochs=0, running=0) == "0/4 trials"
    assert watched.said(after=10, epochs=1) == "0/4 trials, 1 running, 1 epochs trained"
    assert watched.said(after=10, epochs=1, running=2) == "0/4 trials, 2 running, 1 epochs trained"
    # four trials of ten epochs, none of them ended: forty epochs at ten seconds each
    assert watched.said(after=10, epochs=3) == "0/4 trials, 1 running, 3 epochs trained, about 0:06:40 left"
