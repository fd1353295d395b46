"""The grid searcher: every point of a cell's grid once, in an order drawn from the seed."""

from __future__ import annotations

from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial

from search_spaces import Space, distributions_of
from search_spaces.grid import Grid
from study.search.trial_params import params_of


class GridSearcher(BaseSampler):
    """Proposes the first point of a grid that no earlier trial has had.

    Optuna's own keeps the number of a point beside the trial, and cannot go on after a trial that was given.
    """

    def __init__(self, space: Space, grid: Grid, number: int, seed: int) -> None:
        """Propose trial ``number`` of a cell with this space and grid."""
        self._space, self._grid, self._number = space, grid, number
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space: a point is drawn at once."""
        return distributions_of(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the point; nothing where all have been tried."""
        earlier = study.get_trials(deepcopy=False)[: self._number]
        return self._grid.untried(params_of(trial, self._space) for trial in earlier) or {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw at random: only a trial beyond the grid comes here."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)
