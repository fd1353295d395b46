"""Ends the driver when Ray is gone: its calls into Ray no longer return, so the process ends or is replaced."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from study.driver.bounded import FAREWELL
from study.driver.exit_codes import ExitCode
from study.driver.last_signals import keep_signals_back
from study.driver.places import keep_passwords
from study.driver.progress import Progress
from study.ledger.study_ledger import Ledger
from study.store.study_folder import StudyFolder
from trainables.core.errors import counted
from trainables.core.patience import ServiceAway

if TYPE_CHECKING:
    from study.driver.interrupts import Interrupts
    from study.driver.restart import Again
    from study.tracking import Recorder


@dataclass(frozen=True)
class LossOfRay:
    """A driver that may lose Ray; both methods are called from a thread beside the lost calls.

    A signal beside the loss, also one that this process has not answered yet, ends it: who asked wants no restart.
    """

    folder: StudyFolder
    ledger: Ledger
    progress: Progress
    recorder: Recorder
    interrupts: Interrupts

    def of_this_machine(self, again: Again | None, reason: str) -> NoReturn:
        """Start this process anew after the death of its own Ray, where that may help; else end it."""
        left, ended = self._counts(reason)
        restarts = again is not None and left > 0 and not self.interrupts.came() and again.allowed(ended)
        self.recorder.close(FAREWELL, quiet=restarts)
        if isinstance(self.folder.path, Path):
            shutil.rmtree(self.folder.path / "tune", ignore_errors=True)
        if again is not None and restarts and not self.interrupts.came():
            self.progress.say(f"starting again: {self.folder.command('resume')}")
            keep_passwords(self.ledger.study)
            keep_signals_back()
            if not self.interrupts.came():
                again.replace_process(ended)
        self._end_if_asked(left)
        self._end(f"stopped with {_trials(left)}: {self.folder.command('resume')}", ExitCode.SOME_FAILED)

    def of_the_head(self, reason: str) -> NoReturn:
        """End this process, whose cluster is gone, as if interrupted: Slurm and systemd start it again."""
        left, _ = self._counts(reason)
        self.recorder.close(FAREWELL)
        self._end_if_asked(left)
        resume = self.folder.command("resume")
        said = f"stopped with {_trials(left)}; nothing is lost. Once the cluster is back: {resume}"
        self._end(said, ExitCode.INTERRUPTED)

    def _counts(self, reason: str) -> tuple[int, int]:
        """Say why Ray is gone; return how many trials are left and how many have ended.

        If the ledger is away, too, this process ends.
        """
        self.progress.say(f"{reason}; finished epochs are stored")
        try:
            left = self.ledger.remaining()
            return left, self.ledger.total() - left
        except ServiceAway as error:
            code = ExitCode.INTERRUPTED if self.interrupts.came() else ExitCode.SOME_FAILED
            self._end(f"{error}; nothing is lost: {self.folder.command('resume')}", code)

    def _end_if_asked(self, left: int) -> None:
        if self.interrupts.came():
            said = f"interrupted with {_trials(left)}; nothing is lost: {self.folder.command('resume')}"
            self._end(said, ExitCode.INTERRUPTED)

    def _end(self, said: str, code: ExitCode) -> NoReturn:
        self.progress.say(said)
        os._exit(code)


def _trials(left: int) -> str:
    return f"{counted(left, 'trial')} left"
