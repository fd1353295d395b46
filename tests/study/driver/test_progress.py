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
from study.spec.study_spec import StudySpec
from trainables.core.step_progress import StepProgress


class Watched:
    """A progress report on an empty ledger, with a trial manager and a clock set by the test."""

    def __init__(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.reads = 0.0, 0
        self.steps: StepProgress | None = None
        self.ending: list[str] = []
        self.manager = SimpleNamespace(
            epochs_seen=0, running=0, in_first_epoch=self._read, after_training=lambda: self.ending
        )
        monkeypatch.setattr("study.driver.progress.time.monotonic", lambda: self.now)
        self._file = io.StringIO()
        self._progress = Progress(ledger, Console(file=self._file, width=200))
        manager: Any = self.manager
        self._progress.attach(manager)

    def _read(self) -> StepProgress | None:
        self.reads += 1
        return self.steps

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
    assert watched.said(after=10, epochs=1) == "0/4 trials, 1 running, 1 epochs trained since the start"
    assert watched.said(after=10, epochs=1, running=2) == "0/4 trials, 2 running, 1 epochs trained since the start"
    # four trials of ten epochs, none of them ended: forty epochs at ten seconds each
    said = watched.said(after=10, epochs=3)
    assert said == "0/4 trials, 1 running, 3 epochs trained since the start, about 0:06:40 left"


def test_totals_are_upper_bounds_while_the_settings_to_confirm_are_unknown(
    open_ledger: Callable[..., Ledger], make_spec: Callable[..., StudySpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = Watched(open_ledger(make_spec(confirm={"seeds": 2})), monkeypatch)
    watched.said(after=10, epochs=1)
    said = watched.said(after=10, epochs=3)
    assert said.startswith("0 of at most ")
    assert ", at most about 0:" in said


def test_the_first_epoch_shows_its_steps(watched: Watched) -> None:
    watched.steps = StepProgress(1, 120, 390, 5400.0)
    steps = "first epoch: step 120 of 390, 5,400 images/s"
    assert watched.said(after=10, epochs=0, running=2) == f"0/4 trials, 2 running, {steps}"
    watched.steps = None
    assert watched.said(after=10, epochs=1, running=2) == "0/4 trials, 2 running, 1 epochs trained since the start"
    watched.steps = StepProgress(1, 3, 390)
    said = watched.said(after=10, epochs=10, running=1)
    assert said.startswith("0/4 trials, 1 running, 10 epochs trained since the start, first epoch: step 3 of 390")


def test_what_follows_the_last_epoch_is_said(watched: Watched) -> None:
    watched.ending = ["making artifacts (embedding)", "evaluating test images", "making artifacts (embedding)"]
    said = watched.said(after=10, epochs=9, running=5)
    assert said == (
        "0/4 trials, 5 running, 9 epochs trained since the start, 1 evaluating test images, "
        "2 making artifacts (embedding)"
    )


def test_steps_are_read_no_oftener_than_they_are_written(watched: Watched) -> None:
    for _ in range(20):
        watched.said(after=1, epochs=0)
    assert watched.reads == 4
