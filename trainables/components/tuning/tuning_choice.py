"""The tuning that a configuration names."""

from __future__ import annotations

from trainables.components.tuning.biases import Biases
from trainables.components.tuning.head_alone import HeadAlone
from trainables.components.tuning.low_rank import LowRank
from trainables.components.tuning.parallel_adapters import ParallelAdapters
from trainables.components.tuning.tuning import Tuning
from trainables.core.config import TuningConfig


def tuning_named(config: TuningConfig) -> Tuning:
    """Return the tuning of a configuration.

    >>> tuning_named(TuningConfig(scope="bias")).scope
    'bias'
    """
    match config.scope:
        case "head":
            return HeadAlone()
        case "bias":
            return Biases()
        case "lora":
            return LowRank(config.rank, config.alpha, config.projections)
        case "adapter":
            return ParallelAdapters(config.width, config.adapter_scale)
