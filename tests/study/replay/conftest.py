"""A recorded study whose curves follow a known function of the searched values."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from study.ledger.cell_ledger import Assignment
from study.ledger.storage import open_storage
from study.ledger.study_ledger import Ledger
from study.spec.cell import expand
from study.spec.study_spec import StudySpec
from study.store.study_folder import StudyFolder
from trainables.core.trial_folder import TrialFolder

EPOCHS = 6
Response = Callable[[dict[str, Any], int], float]


def height(values: dict[str, Any], epoch: int = EPOCHS) -> float:
    """Return a value that is best at gamma -2 and lr 0.05 and grows with the epochs."""
    off = (math.log10(-values.get("gamma", -2.0) / 2) / 2) ** 2 + math.log10(values["training.lr"] / 0.05) ** 2
    return (0.9 - 0.3 * off) * (1 - 0.5**epoch)


class Recorded:
    """A stored study, recorded without training."""

    def __init__(self, storage: Path, response: Response, **changes: Any) -> None:
        self.spec = StudySpec.model_validate(
            {
                "name": "recorded",
                "data": [{"dataset": "digits", "profiles": [{"ratio": 10}]}],
                "methods": ["cce"],
                "model": "mlp",
                "training": {"epochs": EPOCHS},
                **changes,
                "search": {
                    "trials": 25,
                    "searcher": "qmc",
                    "pruner": "none",
                    "training": {"lr": {"low": 0.005, "high": 0.5, "scale": "log"}},
                    **changes.get("search", {}),
                },
            }
        )
        self.folder, self.response = StudyFolder(storage, "recorded"), response
        with self.folder.driver_lock():
            self.folder.create(self.spec, {})
        self.ledger = Ledger(self.spec, expand(self.spec), open_storage(self.folder.path, None))
        while (assignment := self.ledger.next()) is not None:
            self._train(assignment)

    def _train(self, assignment: Assignment) -> None:
        files = TrialFolder(self.folder.path / "cells" / assignment.key)
        files.write_config({})
        cell, number = self.ledger.of(assignment), assignment.number
        for epoch in range(1, EPOCHS + 1):
            value = self.response(assignment.params, epoch)
            if math.isnan(value):
                return cell.fail(number, "NonFiniteLoss: loss is nan")
            files.append_epoch({"epoch": epoch, "balanced_accuracy": value, "loss": 1 - value})
            if cell.report(number, epoch, value) and epoch < EPOCHS:
                return cell.prune(number)
        cell.complete(number, value)


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., Recorded]:
    """Record a study; keywords replace parts of its file."""

    def make(response: Response = height, **changes: Any) -> Recorded:
        return Recorded(tmp_path, response, **changes)

    return make
