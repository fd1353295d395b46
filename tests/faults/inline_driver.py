"""Runs and resumes real studies in this process: the driver's own code, its trials one after another, without Ray."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from study.driver import driver
from study.driver.outcome import Outcome, outcome_of
from study.driver.trial_manager import TrialManager
from study.driver.trial_packing import TrialPacker
from study.ledger.study_ledger import Ledger
from study.spec.study_spec import StudySpec
from study.spec.validation import load_spec
from study.spec.yaml_io import write_yaml
from study.store.study_folder import StudyFolder
from trainables.core.trial_report import EpochDone, from_result
from trainables.entry_points.ray_trainable import ImbalanceTrial


class InlineDriver:
    """Stands in for Ray Tune: everything that reads or writes a study's files is the program's own.

    Args:
        monkeypatch: takes the place of the driver's loop.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.epochs = 0
        """Epochs that trials have trained themselves so far, shared ones left out."""
        self.stop_after: int | None = None
        """Epochs after which the driver vanishes, as a killed one does; None trains to the end."""
        self._said, self._warnings = io.StringIO(), list[str]()
        monkeypatch.setattr(driver, "_drive", self._drive)
        monkeypatch.setattr(driver, "_catch_up", lambda *_: None)  # MLflow has tests of its own

    @property
    def said(self) -> str:
        """What the command has printed."""
        return self._said.getvalue()

    def run(self, mapping: dict[str, Any], storage: Path) -> Outcome:
        """Start a study."""
        file = storage.parent / "study.yaml"
        file.write_text(write_yaml(mapping))
        return driver.run(load_spec(file), storage, address=None, console=self._console())

    def resume(self, storage: Path, name: str) -> Outcome:
        """Continue a study."""
        return driver.resume(name, storage, (), address=None, console=self._console())

    def _console(self) -> Console:
        self._said = io.StringIO()
        return Console(file=self._said, width=2000)

    def _drive(self, spec: StudySpec, ledger: Ledger, folder: StudyFolder, *rest: Any) -> Outcome:
        def listen(assignment: Any, ended: bool) -> None:
            packer.touch(assignment, ended)

        packer = TrialPacker(folder.path / "cells", ledger, warn=self._warnings.append, leftovers=True)
        manager = TrialManager(ledger, folder.path, listener=listen)
        trial: ImbalanceTrial | None = None
        try:
            for number in range(1000):
                if (task := manager.start(str(number))) is None:
                    break
                if trial is None:
                    trial = ImbalanceTrial(task.to_json())
                else:
                    trial.reset_config(task.to_json())
                if not self._train(manager, str(number), trial):
                    break
        finally:
            packer.close()
            if trial is not None:
                trial.cleanup()
        return outcome_of(spec, ledger, folder, fault=manager.fault, out_of_time=False)

    def _train(self, manager: TrialManager, number: str, trial: ImbalanceTrial) -> bool:
        """Train a trial; return False if the driver vanished."""
        while True:
            result = trial.step()
            report = from_result(result)
            self.epochs += isinstance(report, EpochDone)
            if self.stop_after is not None and self.epochs >= self.stop_after:
                return False
            if result["done"] or (report is not None and manager.report(number, report)):
                manager.end(number, report, failed=False)
                return True
