"""A stored study over four imbalance ratios whose best value falls by a known amount."""

from __future__ import annotations

import math
from typing import Any

from study.ledger.cell_ledger import Assignment
from tests.study.made_study import MadeStudy, spec_of
from trainables.core.storage_path import StoragePath

RATIOS = (10, 20, 50, 100)


def value_at(ratio: float, gamma: float) -> float:
    """The best gamma is 0; the best value falls by .2 per decade."""
    return 1.1 - 0.2 * math.log10(ratio) - 0.0001 * gamma**2


def ratio_study(
    storage: StoragePath,
    trials: int,
    ratios: tuple[int, ...] = RATIOS,
    *,
    made: int | None = None,
    methods: tuple[str, ...] = ("cce",),
    **search: Any,
) -> MadeStudy:
    """Return a study with ``trials`` trials per cell, of which the first ``made`` are complete (None: all)."""
    data = [{"dataset": "digits", "profiles": [{"ratio": list(ratios)}]}]
    study = MadeStudy(storage, spec_of(data=data, methods=list(methods), search={"trials": trials, **search}))
    train_cells(study, trials if made is None else made)
    return study


def train_cells(made: MadeStudy, trials: int) -> list[Assignment]:
    """Complete ``trials`` more trials of every cell, and return them."""
    done = []
    for cell in made.ledger.cells.values():
        for _ in range(trials):
            trial = cell.ask()
            value = value_at(trial.cell.ratio, float(trial.params.get("gamma", 0)))
            made.train(trial, range(1, 2), **{made.spec.search.metrics[0]: value})
            made.end(trial)
            done.append(trial)
    return done
