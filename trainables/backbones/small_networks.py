"""Networks that train on a processor in minutes: the affinity paper's, a strided one and a perceptron.

None normalises, so learning rates near 0.03 suit them better than the 0.1 of the ResNets. They keep torch's
initial weights, of variance 1 / (3 fan_in). He's have six times that: on MNIST they left features of squared
length 1,000 and more beside prototypes of squared length 2, and the affinity loss hardly learned.
"""

from __future__ import annotations

from torch import nn

from trainables.backbones.backbone import Backbone


def affinity_conv(feature_dim: int, in_channels: int, image_size: int) -> Backbone:
    """Build the MNIST network of the affinity paper up to its last hidden layer.

    Source: Hayat et al. 2019, section 4.2: "four hidden layers having three convolution layers (32, 64 and
    128 filters of 5x5), one fully connected layer (128 neurons), and an output layer". The text is silent on
    the rest. Taken here: padding 2, ReLU and 2x2 max pooling after each convolution, no normalisation, and
    features without activation, so that they reach prototypes on every side: after six epochs on 5,500
    imbalanced MNIST images at rates of .01 and .03 (one seed) the affinity loss was 6 to 21 points of
    accuracy worse with a ReLU there, and cross entropy within a quarter of a point.
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
    side = (image_size + 3) // 4  # a padded convolution of stride 2 leaves ceil(side / 2)
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
    """Build a perceptron of hidden layers of 256 units on the flattened pixels, or on feature vectors.

    With one hidden layer and the head it is the "2-layer fully-connected network" of the texts of Kim et al.
    2020 (M2m), section 3.1; the text is silent on its width.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    before = in_channels * image_size * image_size
    for _ in range(hidden_layers):
        layers += [nn.Linear(before, 256), nn.ReLU()]
        before = 256
    return Backbone(256, nn.Sequential(*layers))
