"""Samplers by name, seeded so that a resumed study proposes the same params."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna import Study
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from search_spaces import Space, distributions_of
from search_spaces.grid import Grid
from study.search.grid_searcher import GridSearcher
from study.spec.search_tables import SEARCHERS, CellTrials, SearcherContext


class _NumberedQMC(QMCSampler):
    """Quasi-Monte Carlo sampler that takes the point with the trial's number.

    Optuna's own sampler takes the next point of a counter in the storage: a trial interrupted by a kill would lose
    its point.
    """

    def __init__(self, distributions: dict[str, BaseDistribution], seed: int, number: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # without scrambling, the seed has no effect and every cell gets the same points
            super().__init__(seed=seed, scramble=True, warn_independent_sampling=False)
        self._ranges = {n: d for n, d in distributions.items() if not isinstance(d, CategoricalDistribution)}
        self._number = number

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return every range. Optuna's own returns none, and so repeats one draw, until a trial succeeds."""
        return self._ranges

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


def _is_not_about_greenlet(record: logging.LogRecord) -> bool:
    """Return False for the GP's warning about a missing package that would only make it faster."""
    return "'greenlet' package is unavailable" not in record.getMessage()


def _seed(*parts: object) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def cell_grid(study_seed: int, cell: str, space: Space, points: int) -> Grid:
    """Return the grid of a cell, in an order drawn from study seed and cell.

    Args:
        study_seed: the study's seed.
        cell: the cell's name.
        space: the cell's search space.
        points: number of points of a range without a grid of its own.
    """
    return Grid(space, points, _seed(study_seed, cell))


@dataclass(frozen=True)
class MethodTrials:
    """What a searcher may know of all cells of a method.

    Attributes:
        cell: the name of the cell that is searched.
        name: the method, as the study file labels it.
        preset: the preset's params in the cell's space.
        preset_prior: strength of the prior around them.
        epochs: number of epochs of a trial.
        earlier_epochs: number of epochs before a trial's last stage.
        selects_best: True if a trial's result is that of its best epoch.
        trials: returns the trials of all its cells, in the order of the study.
    """

    cell: str = ""
    name: str = ""
    preset: Mapping[str, Any] = field(default_factory=dict)
    preset_prior: float = 0.0
    epochs: int = 1
    earlier_epochs: int = 0
    selects_best: bool = False
    trials: Callable[[], Sequence[CellTrials]] = tuple


def build_searcher(
    name: str,
    study_seed: int,
    cell: str,
    number: int,
    space: Space | None = None,
    grid_points: int = 5,
    method: MethodTrials | None = None,
) -> BaseSampler:
    """Build the sampler that proposes trial ``number`` of a cell.

    Each trial has its own seed: a sampler seeded once per cell would propose its first params again after a resume.
    QMC and grid use one seed per cell, which fixes their order.

    Args:
        name: ``tpe``, ``gp``, ``cmaes``, ``random``, ``qmc``, ``grid``, ``ratio-gp``, or one of a plug-in.
        study_seed: the study's seed.
        cell: the cell's name; cells have different seeds.
        number: the trial's number in the cell.
        space: the cell's search space; needed by ``qmc``, ``cmaes`` and ``grid``.
        grid_points: number of points of a range without a grid of its own (grid).
        method: the trials of all cells of the method (ratio-gp, plug-ins); None if there is no ledger.
    """
    seed, space, method = _seed(study_seed, cell, number), space or {}, method or MethodTrials()
    context = SearcherContext(
        seed,
        number,
        space,
        distributions_of(space),
        method.cell or cell,
        _seed(study_seed, method.name or cell),
        method.preset,
        method.preset_prior,
        method.epochs,
        method.earlier_epochs,
        method.selects_best,
        method.trials,
    )
    match name:
        case "random":
            return RandomSampler(seed=seed)
        case "gp":
            logging.getLogger("optuna._gp.batched_lbfgsb").addFilter(_is_not_about_greenlet)
            return GPSampler(seed=seed, n_startup_trials=5)
        case "qmc":
            return _NumberedQMC(distributions_of(space), _seed(study_seed, cell), number)
        case "cmaes":
            from study.search.cma_es import CmaEsSearcher  # imports scipy

            return CmaEsSearcher(distributions_of(space), number, seed)
        case "grid":
            return GridSearcher(space, cell_grid(study_seed, cell, space, grid_points), number, seed)
        case "ratio-gp":
            from study.search.ratio_gp import RatioGpSearcher  # imports scipy

            return RatioGpSearcher(context)
        case "tpe":
            return TPESampler(seed=seed, n_startup_trials=5)
        case _:
            return SEARCHERS[name].build(context)
