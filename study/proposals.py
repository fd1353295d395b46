"""What proposes values: Optuna's samplers by name, seeded so that a resumed study proposes the same."""

from __future__ import annotations

import hashlib

from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler


def _seed(*parts: object) -> int:
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big")


def build_searcher(name: str, study_seed: int, cell: str, number: int) -> BaseSampler:
    """Build the sampler that proposes trial ``number`` of a cell.

    Each trial gets a sampler of its own seed: one that was seeded once and then restarted by a resume
    would propose its first values again. QMC alone keeps one seed per cell, which fixes its sequence; its
    position in it stands in the storage.

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
            return QMCSampler(seed=_seed(study_seed, cell), warn_independent_sampling=False)
        case _:
            return TPESampler(seed=seed, n_startup_trials=5)
