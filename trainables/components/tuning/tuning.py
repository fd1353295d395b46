"""The interface of all tunings."""

from __future__ import annotations

from torch import nn


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
