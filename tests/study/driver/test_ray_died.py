"""A driver after the death of Ray: its messages and its exit code, with a signal at the same time and without."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from study.driver import loss_of_ray
from study.driver.exit_codes import ExitCode
from study.driver.interrupts import Interrupts
from study.driver.loss_of_ray import LossOfRay
from study.driver.restart import Again
from trainables.core.patience import ServiceAway


class Replaced(Exception):
    """Stands for the program that this process would have become."""


@dataclass
class Dying:
    """A driver without Ray, ledger and MLflow."""

    tmp_path: Path
    signal_at: str = ""
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.interrupts = Interrupts("study {} ga".format, self.said.append)
        self.folder = SimpleNamespace(name="ga", path=self.tmp_path, command="study {} ga".format)
        self.ledger = SimpleNamespace(remaining=lambda: 2, total=lambda: 3, study=None)
        self.recorder = SimpleNamespace(close=self._close)

    def say(self, message: str) -> None:
        """Print; the signal may come while this is said."""
        self.said.append(message)
        if self.signal_at and self.signal_at in message:
            self.interrupts.asked = True

    def _close(self, timeout: float, quiet: bool = False) -> None:
        self.say("recorded")

    def end(self, way: str, *more: Any) -> int:
        """Lose Ray in one of the ways of `LossOfRay`; return the exit code."""
        parts: Any = (self.folder, self.ledger, self, self.recorder, self.interrupts)
        with pytest.raises(SystemExit) as ended:
            getattr(LossOfRay(*parts), way)(*more)
        assert isinstance(ended.value.code, int)
        return ended.value.code


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(code: int) -> None:
        raise SystemExit(int(code))

    def replace(self: Again, ended: int) -> None:
        raise Replaced

    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(Again, "replace_process", replace)
    monkeypatch.setattr(loss_of_ray, "keep_passwords", lambda study: None)
    monkeypatch.setattr(loss_of_ray, "keep_signals_back", lambda: None)
    monkeypatch.delenv("STUDY_RAY_DEATHS", raising=False)


@pytest.mark.parametrize("moment", ["Ray has died", "recorded", "starting again"])
def test_a_signal_beside_the_death_of_ray_ends_the_study(moment: str, tmp_path: Path) -> None:
    dying = Dying(tmp_path, moment)
    assert dying.end("of_this_machine", Again("ga", tmp_path), "Ray has died") == 130
    assert dying.said[-1] == "interrupted with 2 trials left; nothing is lost: study resume ga"


@pytest.mark.parametrize("count", ["remaining", "total"])
def test_a_ledger_that_is_away_at_the_same_time_ends_the_study(count: str, tmp_path: Path) -> None:
    def away() -> int:
        raise ServiceAway("the database does not answer")

    dying = Dying(tmp_path)
    setattr(dying.ledger, count, away)
    assert dying.end("of_this_machine", Again("ga", tmp_path), "Ray has died") == ExitCode.SOME_FAILED
    assert dying.said[-1].endswith("the database does not answer; nothing is lost: study resume ga")


def test_without_a_signal_the_study_starts_again(tmp_path: Path) -> None:
    dying = Dying(tmp_path)
    with pytest.raises(Replaced):
        dying.end("of_this_machine", Again("ga", tmp_path), "Ray has died")
    assert dying.said[-1] == "starting again: study resume ga"


def test_a_lost_head_ends_the_study_so_that_it_is_started_again(tmp_path: Path) -> None:
    dying = Dying(tmp_path)
    assert dying.end("of_the_head", "the head of the Ray cluster has gone") == 130
    assert dying.said[0] == "the head of the Ray cluster has gone; finished epochs are stored"
    assert dying.said[-1] == ("stopped with 2 trials left; nothing is lost. Once the cluster is back: study resume ga")


BEFORE = """
import os, signal, sys, threading
from study.driver.last_signals import hold_signals, keep_signals_back
hold_signals()
def become():
    keep_signals_back()
    os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
threading.Thread(target=become).start()
threading.Event().wait(60)
"""
AFTER = """
import os, signal
os.kill(os.getpid(), signal.SIGTERM)  # before any handler is there
from study.cli import app
import sys
sys.argv = ["study", "resume", "ga"]
app.main()
"""


def test_a_signal_to_the_program_that_starts_again_is_answered_once_it_can_be(tmp_path: Path) -> None:
    words = [sys.executable, "-c", BEFORE, AFTER]
    environment = {**os.environ, "STUDY_STORAGE": str(tmp_path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert done.stdout == "interrupted before anything was trained; nothing is lost: study resume ga\n"
