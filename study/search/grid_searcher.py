"""Grid searcher: tries every point of a cell's grid once, in an order drawn from the seed."""

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
    """Proposes the first point of a grid that no earlier trial has tried.

    Optuna's own sampler stores the index of a point with the trial, and fails after a trial with given params.
    """

    def __init__(self, space: Space, grid: Grid, number: int, seed: int) -> None:
        """Create the sampler of trial ``number`` of a cell with this space and grid."""
        self._space, self._grid, self._number = space, grid, number
        self._random = RandomSampler(seed=seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the whole space: all params of a point are sampled together."""
        return distributions_of(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the next point, or an empty dict if all have been tried."""
        earlier = study.get_trials(deepcopy=False)[: self._number]
        return self._grid.untried(params_of(trial, self._space) for trial in earlier) or {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample at random; this happens only after the last point of the grid."""
        return self._random.sample_independent(study, trial, param_name, param_distribution)
