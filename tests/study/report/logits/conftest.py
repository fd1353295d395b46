"""A stored study whose confirmed trials keep logits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from study.ledger.cell_ledger import Assignment
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.logit_file import KeptLogits, SplitLogits, write_logits

SEEDS = 3
CLASSES = 10


def keep(made: MadeStudy, trial: Assignment, *, seed: int | None = None) -> None:
    """Write logits of a confirmed trial whose predictions give its recorded confusion matrix."""
    folder = made.files(trial)
    confusion = np.asarray((folder.test() or {})["confusion"])
    counts = tuple((folder.test() or {})["class_counts"])
    rng = np.random.default_rng(trial.number if seed is None else seed)
    # the same images for all seeds: as many of each class as the confusion matrix has
    labels = np.repeat(np.arange(CLASSES), confusion.sum(axis=1))
    predictions = np.concatenate([np.repeat(np.arange(CLASSES), row) for row in confusion])
    logits = rng.normal(0, 1, (len(labels), CLASSES))
    logits[np.arange(len(labels)), predictions] = logits.max(axis=1) + rng.exponential(2, len(labels)) + 0.1
    split = SplitLogits.of(logits, labels)
    names = tuple(f"class {k}" for k in range(CLASSES))
    write_logits(folder.path, KeptLogits(None, names, counts, {"validation": split, "test": split}))


@pytest.fixture
def confirmed(tmp_path: Path) -> tuple[MadeStudy, list[Assignment]]:
    """Return a study and its confirmed trials, which keep logits; all have the same test images."""
    made = MadeStudy(tmp_path / "runs", spec_of(search={"trials": 1}, confirm={"seeds": SEEDS}))
    made.confusion = lambda trial, epoch: _confusion(trial.number)  # type: ignore[method-assign]
    made.complete("erm"), made.complete("cce")
    trials = made.confirm(lambda trial: 0.5)
    for trial in trials:
        keep(made, trial)
    return made, trials


def _confusion(number: int) -> np.ndarray:
    rng = np.random.default_rng(number)
    wrong = rng.integers(0, 3, (CLASSES, CLASSES))
    np.fill_diagonal(wrong, 0)
    return wrong + np.diag(60 - wrong.sum(axis=1))
