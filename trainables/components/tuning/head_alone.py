"""Linear probe: the backbone is frozen, the head alone is trained."""

from __future__ import annotations

from torch import nn

from trainables.components.tuning.tuning import Tuning


class HeadAlone(Tuning):
    """Trains nothing of the backbone, which stays in evaluation mode."""

    scope = "head"

    def prepare(self, backbone: nn.Module, network: str) -> frozenset[str]:
        """Return no name."""
        return frozenset()
