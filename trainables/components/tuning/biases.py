"""BitFit: of a backbone, the biases alone are trained."""

from __future__ import annotations

from torch import nn

from trainables.components.tuning.tuning import Tuning
from trainables.core.errors import BadInput


class Biases(Tuning):
    """Trains the additive terms of all layers: of linear layers and convolutions, and the shifts of normalisations.

    Source: Ben Zaken, Goldberg and Ravfogel, 2022, section 3. They tune a transformer; the rule is the same for any
    network. Parameters count as biases by their names, which end in ``bias``.
    """

    scope = "bias"

    def prepare(self, backbone: nn.Module, network: str) -> frozenset[str]:
        """Return the names of all biases."""
        found = frozenset(name for name, _ in backbone.named_parameters() if name.endswith("bias"))
        if not found:
            raise BadInput(f"{network} has no biases to tune")
        return found
