"""Small networks that train on a CPU in minutes: the affinity paper's, a strided one and a perceptron.

They have no normalisation layers, so learning rates near 0.03 suit them better than the ResNets' 0.1. They keep torch's
initialisation, of variance 1 / (3 fan_in). He initialisation has six times that variance: on MNIST, features then had
squared norms above 1,000 against prototypes of squared norm 2, and the affinity loss hardly learned.
"""

from __future__ import annotations

from torch import nn

from trainables.backbones.backbone import Backbone


def affinity_conv(feature_dim: int, in_channels: int, image_size: int) -> Backbone:
    """Build the MNIST network of the affinity paper up to its last hidden layer.

    Source: Hayat et al. 2019, section 4.2: "four hidden layers having three convolution layers (32, 64 and
    128 filters of 5x5), one fully connected layer (128 neurons), and an output layer". The paper does not
    state the rest. Chosen here: padding 2, ReLU and 2x2 max pooling after each convolution, no normalisation, and no
    activation on the features, so that features of any sign can reach the prototypes. With a ReLU there, the affinity
    loss lost 6 to 21 points of accuracy and cross entropy stayed within a quarter of a point (six epochs on
    5,500 imbalanced MNIST images, learning rates .01 and .03, one seed).
    """
    layers: list[nn.Module] = []
    before, side = in_channels, image_size
    for channels in (32, 64, 128):
        layers += [nn.Conv2d(before, channels, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        before, side = channels, side // 2
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(before * side * side, feature_dim))
    return Backbone(feature_dim, network)


def conv_tiny(in_channels: int, image_size: int) -> Backbone:
    """Build two 3x3 convolutions of stride 2 (16 and 32 channels) and a layer of 64 features."""
    side = (image_size + 3) // 4  # a padded convolution of stride 2 gives ceil(side / 2)
    network = nn.Sequential(
        nn.Conv2d(in_channels, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * side * side, 64),
        nn.ReLU(),
    )
    return Backbone(64, network)


def mlp(hidden_layers: int, in_channels: int, image_size: int) -> Backbone:
    """Build a perceptron with hidden layers of 256 units on flattened pixels or feature vectors.

    Source: with one hidden layer, the "2-layer fully-connected network" of Kim et al. 2020 (M2m), section 3.1; the
    paper does not state its width.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    before = in_channels * image_size * image_size
    for _ in range(hidden_layers):
        layers += [nn.Linear(before, 256), nn.ReLU()]
        before = 256
    return Backbone(256, nn.Sequential(*layers))
