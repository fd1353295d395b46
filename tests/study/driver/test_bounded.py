"""Waiting for what may stand still: a display, the counts and the leaderboard of a study that was told to end."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console

from study.cli import run_commands
from study.driver.bounded import within
from study.driver.exit_codes import ExitCode
from study.driver.outcome import Outcome
from study.driver.progress import Progress
from study.ledger.study_ledger import Ledger
from study.store.study_folder import StudyFolder


def test_a_result_and_an_error_come_through() -> None:
    def fail() -> None:
        raise ValueError("no")

    assert within(30, lambda: 3) == 3
    assert within(30, lambda: None) is None
    with pytest.raises(ValueError, match="no"):
        within(30, fail)


def test_the_seconds_count_from_a_signal_on(standing_still: Callable[..., object]) -> None:
    signalled = threading.Event()
    threading.Timer(0.3, signalled.set).start()
    begin = time.monotonic()
    with pytest.raises(TimeoutError):
        within(0.1, standing_still, counting=signalled.is_set)
    assert time.monotonic() - begin >= 0.3
    assert within(0.1, lambda: 3, counting=lambda: False) == 3


@pytest.fixture
def standing_still() -> Iterator[Callable[..., object]]:
    """Does not answer until the test has ended."""
    over = threading.Event()
    yield lambda *_: over.wait()
    over.set()


def test_what_stands_still_is_left(standing_still: Callable[..., object]) -> None:
    with pytest.raises(TimeoutError, match=r"no answer within 0\.1 s"):
        within(0.1, standing_still)


def test_the_last_display_of_a_study_that_was_told_to_end_does_not_wait(
    open_ledger: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch, standing_still: Callable[..., object]
) -> None:
    monkeypatch.setattr("study.driver.progress.FAREWELL", 0.1)
    monkeypatch.setattr("study.driver.progress._best", standing_still)
    begin = time.monotonic()
    with Progress(open_ledger(), Console(file=io.StringIO())) as progress:
        progress.hurried = lambda: True
    assert time.monotonic() - begin < 60


def test_the_leaderboard_of_an_interrupted_study_does_not_keep_its_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    standing_still: Callable[..., object],
) -> None:
    monkeypatch.setattr("study.report.leaderboard.print_leaderboard", standing_still)
    monkeypatch.setattr("study.driver.bounded.FAREWELL", 0.1)
    outcome = Outcome(StudyFolder(tmp_path, "tiny"), ExitCode.INTERRUPTED, "nothing is lost: study resume tiny")
    with pytest.raises(typer.Exit) as ended:
        run_commands.end(outcome, None)
    assert ended.value.exit_code == 130
    assert "nothing is lost: study resume tiny" in capsys.readouterr().out
