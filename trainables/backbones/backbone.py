"""Base class of all backbones."""

from __future__ import annotations

from torch import Tensor, nn

SMALL_IMAGE_SIZE = 64
"""Images up to this height and width, in pixels, get a stem without early downsampling."""


class Backbone(nn.Module):
    """A network from images (B, C, H, W) to features (B, feature_dim).

    Attributes:
        feature_dim: number of features per image.
    """

    feature_dim: int

    def __init__(self, feature_dim: int, network: nn.Module) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, feature_dim) of images (B, C, H, W)."""
        features: Tensor = self.network(images)
        return features

    def adapted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return a state dict of a weights file as it fits ``network``, as far as it can be made to fit.

        Raises:
            ValueError: it cannot be.
        """
        return state


def init_for_relu(network: nn.Module) -> None:
    """Initialise all convolutions and linear layers from N(0, 2 / fan_in) and biases with zero, in place.

    Source: He et al. 2015, "Delving deep into rectifiers", eq. 10. The released code of LDAM and M2m does the same
    but keeps torch's default for biases.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
