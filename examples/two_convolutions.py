"""A network of two convolutions, as a plug-in: one object with its name, the length of its features and its builder."""

from trainables.backbones.architecture import Architecture


def build(in_channels, image_size):
    """Return a module from images (B, C, size, size) to features (B, 32)."""
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


NETWORK = Architecture(name="two-convolutions", features=32, build=build, paper="none: an example")
