"""The interface of all tunings, and the tuning that a configuration names."""

from __future__ import annotations

from torch import nn

from trainables.core.config import TuningConfig


class Tuning:
    """Prepares a backbone for fine-tuning; parameters that it does not name keep their values for the whole training.

    Attributes:
        scope: its name in study files, as in `TuningConfig`.
    """

    scope: str

    def prepare(self, backbone: nn.Module, network: str) -> frozenset[str]:
        """Insert into the backbone, in place, what is trained in addition.

        New weights are drawn from torch's global generator. The features stay as they were.

        Args:
            backbone: maps images to features.
            network: its name, for messages.

        Returns:
            The names of the backbone's parameters that are trained, as `named_parameters` gives them.

        Raises:
            BadInput: the network lacks the parts that would be trained; names the network.
        """
        raise NotImplementedError


def tuning_named(config: TuningConfig) -> Tuning:
    """Return the tuning of a configuration.

    >>> tuning_named(TuningConfig(scope="lora", rank=4)).rank
    4
    """
    from trainables.components.tuning.biases import Biases
    from trainables.components.tuning.head_alone import HeadAlone
    from trainables.components.tuning.low_rank import LowRank
    from trainables.components.tuning.parallel_adapters import ParallelAdapters

    match config.scope:
        case "head":
            return HeadAlone()
        case "bias":
            return Biases()
        case "lora":
            return LowRank(config.rank, config.alpha, config.projections)
        case "adapter":
            return ParallelAdapters(config.width, config.adapter_scale)
