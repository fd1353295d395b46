"""The learned pruner: stops a trial of which the model over all ratios expects too little."""

from __future__ import annotations

from functools import partial

import numpy as np
from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from scipy.linalg import LinAlgError

from search_spaces import Space
from study.search.method_model import MethodModel, NothingToFit
from study.search.ratio_evidence import Evidence, Goal
from study.search.sampler_factory import MethodTrials

_GROWTH = 1.5


def decision_epochs(first: int, last: int) -> tuple[int, ...]:
    """Return the epochs after which a trial is judged: they grow by half, since early epochs tell most of their cost.

    >>> decision_epochs(1, 20)
    (1, 2, 3, 5, 8, 11, 17)
    """
    found: list[int] = []
    at = float(first)
    while round(at) < last:
        if not found or round(at) > found[-1]:
            found.append(round(at))
        at *= _GROWTH
    return tuple(found)


class RatioPruner(BasePruner):
    """Stops a trial whose chance to become the best of its cell is small, by the model of the searcher ``ratio-gp``.

    The model is fitted to the trials that ended in all cells of the method, whatever searcher proposed them, at the
    epochs that they reached. It is then told what the trial has reached at its decision epochs, and asked for the
    noise-free result after the last epoch. The best is the largest such result that is expected of a complete trial of
    the cell that satisfies the constraints; a cell without one stops nothing. Everything follows from the ledger.

    Epochs before the last stage count too: the model learns from complete trials what they say of the end, and before
    the last stage they have a part of their own, since they trained another loss.
    """

    def __init__(
        self,
        space: Space,
        method: MethodTrials,
        *,
        first_decision: int = 1,
        startup_trials: int = 4,
        least_chance: float = 0.1,
    ) -> None:
        """Judge the trials of the cell that ``method`` names.

        Args:
            space: the cell's search space.
            method: the trials of all cells of the method, and the epochs of a trial.
            first_decision: epochs before the first decision.
            startup_trials: complete trials of the method before the first decision.
            least_chance: a trial with a smaller chance is stopped.
        """
        self._space, self._method = space, method
        self._decisions = decision_epochs(first_decision, method.epochs)
        self._startup_trials, self._least_chance = startup_trials, least_chance

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return True at a decision epoch if the chance is too small."""
        if trial.last_step not in self._decisions or not self._space:
            return False
        chance = self.chance(study, trial)
        return chance is not None and chance < self._least_chance

    def chance(self, study: Study, trial: FrozenTrial) -> float | None:
        """Return the chance that a running trial becomes the best of its cell; None if nothing can be said yet."""
        method, cells = self._method, list(self._method.trials())
        complete = [t for cell in cells for t in cell.trials if t.state == TrialState.COMPLETE]
        if len(complete) < self._startup_trials:
            return None
        maximize = study.direction == StudyDirection.MAXIMIZE
        goal = Goal(maximize, method.epochs, method.selects_best, method.earlier_epochs)
        evidence = Evidence(self._space, cells, goal)
        own = evidence.index(method.cell)
        curve = evidence.curve(own, trial, self._decisions)
        rivals = evidence.complete(own)
        if curve is None or not len(curve.values) or not np.isfinite(curve.values).all() or not len(rivals):
            return None
        try:
            model = MethodModel(evidence, own, partial(evidence.observation, epochs=self._decisions))
            return model.chance_to_beat(rivals, own, curve)
        except (NothingToFit, LinAlgError):
            return None
