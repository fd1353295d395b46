"""What proposes values: Optuna's samplers by name, seeded so that a resumed study proposes the same."""

from __future__ import annotations

import hashlib
import warnings

from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler


class _NumberedQMC(QMCSampler):
    """Takes the point of its sequence that belongs to a trial's number.

    Optuna's own counts the points it drew in the storage: a trial that a kill cut off would lose its point.
    """

    def __init__(self, seed: int, number: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            # without scrambling the seed would change nothing, and every cell would get the same points
            super().__init__(seed=seed, scramble=True, warn_independent_sampling=False)
        self._number = number

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


def _seed(*parts: object) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def build_searcher(name: str, study_seed: int, cell: str, number: int) -> BaseSampler:
    """Build the sampler that proposes trial ``number`` of a cell.

    Each trial gets a sampler of its own seed: one that was seeded once and then restarted by a resume
    would propose its first values again. QMC alone keeps one seed per cell, which fixes its sequence.

    Args:
        name: ``tpe``, ``random``, ``qmc`` or ``gp``.
        study_seed: the study's seed.
        cell: the cell's name, so that cells differ.
        number: the trial's number in the cell.
    """
    seed = _seed(study_seed, cell, number)
    match name:
        case "random":
            return RandomSampler(seed=seed)
        case "gp":
            return GPSampler(seed=seed, n_startup_trials=5)
        case "qmc":
            return _NumberedQMC(_seed(study_seed, cell), number)
        case _:
            return TPESampler(seed=seed, n_startup_trials=5)
