"""A stored study with simulated trials: ledger and trial folders as a driver would leave them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from study.ledger.cell_ledger import Assignment
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.metric_names import METRICS
from trainables.core.metrics import from_confusion, recall_per_class
from trainables.core.storage_path import StoragePath
from trainables.core.trial_folder import CLASS_RECALL, TrialFolder, method_metrics

EPOCHS = 5


def spec_of(name: str = "made", **changes: Any) -> StudySpec:
    """Return a study of two cells: CCE with a searched gamma, and ERM with an empty search space."""
    return StudySpec.model_validate(
        {
            "name": name,
            "question": "Does CCE help?",
            "data": [{"dataset": "digits", "profiles": [{"kind": "long_tail", "ratio": 10}]}],
            "methods": ["erm", "cce"],
            "model": "mlp",
            "training": {"epochs": EPOCHS, "batch_size": 32, "lr": 0.05},
            "search": {"trials": 4, "pruner": "none"},
            **changes,
        }
    )


class MadeStudy:
    """A study whose trials end as a test chooses."""

    def __init__(self, storage: StoragePath, spec: StudySpec | None = None, *, classes: int = 10) -> None:
        self.spec = spec or spec_of()
        self.folder = StudyFolder(storage, self.spec.name, ledger=self.spec.records.ledger)
        with self.folder.driver_lock():
            self.folder.create(self.spec, {})
        self.cells = {cell.name: cell for cell in expand(self.spec)}
        self.classes = classes
        self.described: dict[str, Any] = {}
        """What else the processes of its trials say of themselves."""
        self.reopen()

    def reopen(self) -> None:
        """Open the ledger again, as a second driver would."""
        storage = open_storage(self.folder.path, self.spec.records.ledger)
        self.ledger = Ledger(self.spec, list(self.cells.values()), storage)

    def cell_name(self, method: str) -> str:
        """Return the name of a method's first cell."""
        return next(name for name, cell in self.cells.items() if cell.method == method)

    def start(self, method: str = "cce") -> Assignment:
        """Start the next trial of a cell."""
        return self.ledger.cells[self.cell_name(method)].ask()

    def files(self, trial: Assignment) -> TrialFolder:
        """Return a new attempt at the trial's folder."""
        return TrialFolder(self.folder.path / "cells" / trial.key)

    def confusion(self, trial: Assignment, epoch: int) -> np.ndarray[Any, Any]:
        """Return a confusion matrix that depends on the trial and improves with the epochs."""
        rng = np.random.default_rng([trial.number, epoch])
        wrong = rng.integers(0, 3, (self.classes, self.classes))
        return wrong + np.diag(rng.integers(2 * epoch, 3 * epoch + 9, self.classes))

    def train(self, trial: Assignment, epochs: range, **changed: Any) -> None:
        """Write some epochs of a trial, as the trial's process and the driver would."""
        files = self.files(trial)
        config = trial.config
        environment = {"code": "c0de", "git_commit": "abc123+", "device": "cpu", "precision": "float32"}
        files.write_config(
            {
                "trial": config.model_dump(mode="json"),
                "data_fingerprint": "f1",
                "environment": environment,
                **self.described,
            }
        )
        counts = [max(1, int(300 / 10 ** (k / max(1, self.classes - 1)))) for k in range(self.classes)]
        for epoch in epochs:
            confusion = self.confusion(trial, epoch)
            record = {
                "epoch": epoch,
                "stage": "all",
                "train_loss": 2.0 / epoch,
                "loss": 2.5 / epoch,
                **from_confusion(confusion, counts),
                "learning_rate": 0.05,
                "images_per_second": 1000.0 + epoch,
                CLASS_RECALL: recall_per_class(confusion).tolist(),
                **changed,
            }
            files.append_epoch(record)
            files.write_evaluation(
                {
                    "epoch": epoch,
                    "recall": recall_per_class(confusion).tolist(),
                    "confusion": confusion.tolist(),
                    "class_counts": counts,
                    "class_names": [f"class {k}" for k in range(self.classes)],
                }
            )
            self.ledger.of(trial).report(trial.number, epoch, record[self.spec.search.metrics[0]])

    def _result(self, trial: Assignment) -> dict[str, Any]:
        """Return the epoch that is the trial's result."""
        epoch = self.ledger.of(trial).selected_epoch(trial) or EPOCHS
        return next(result for result in self.files(trial).history() if result["epoch"] == epoch)

    def complete(self, method: str = "cce", **changed: Any) -> Assignment:
        """Run a trial to its end."""
        trial = self.start(method)
        self.train(trial, range(1, EPOCHS + 1), **changed)
        cell = self.ledger.of(trial)
        record = self._result(trial)
        values = [record[name] for name in self.spec.search.metrics]
        cell.note_end(trial.number, record, method_metrics(record))
        cell.complete(trial.number, *(math.nan if value is None else value for value in values))
        return trial

    def end(self, trial: Assignment) -> None:
        """Complete a trial with what its last epoch found, and nothing else."""
        record = self.files(trial).history()[-1]
        self.ledger.of(trial).complete(trial.number, *(record[name] for name in self.spec.search.metrics))

    def confirm(self, tested: Callable[[Assignment], float], until: int | None = None) -> list[Assignment]:
        """Run the confirmation trials, or only this many; ``tested`` gives all test metrics."""
        done: list[Assignment] = []
        while (until is None or len(done) < until) and (trial := self.ledger.next()) is not None:
            self.train(trial, range(1, EPOCHS + 1))
            found = self.files(trial).evaluation() or {}
            metrics = dict.fromkeys((name for name in METRICS if name != "train_loss"), tested(trial))
            epoch = self._result(trial)["epoch"]
            self.files(trial).write_test({**found, "epoch": epoch, "metrics": {**metrics, "few": math.nan}})
            record = self._result(trial)
            raced = self.spec.confirm is not None and self.spec.confirm.race is not None
            self.ledger.of(trial).note_end(trial.number, record, tested=metrics if raced else None)
            self.ledger.of(trial).complete(trial.number, *(record[name] for name in self.spec.search.metrics))
            done.append(trial)
        return done

    def prune(self, method: str = "cce", epochs: int = 2) -> Assignment:
        """Stop a trial early."""
        trial = self.start(method)
        self.train(trial, range(1, epochs + 1))
        self.ledger.of(trial).prune(trial.number)
        return trial

    def fail(self, reason: str, method: str = "cce", epochs: int = 0) -> Assignment:
        """Let a trial fail."""
        trial = self.start(method)
        self.train(trial, range(1, epochs + 1))
        self.ledger.of(trial).fail(trial.number, reason)
        return trial
