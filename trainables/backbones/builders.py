"""Table of networks: name -> builder from (in_channels, image_size); imports torch and torchvision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torchvision import models as zoo
from torchvision.models.resnet import BasicBlock, Bottleneck

from trainables.backbones.backbone import Backbone
from trainables.backbones.preact_resnet import preact_resnet18
from trainables.backbones.resnet_cifar import cifar_resnet
from trainables.backbones.se_resnet import SEBottleneck
from trainables.backbones.small_networks import affinity_conv, conv_tiny, mlp
from trainables.backbones.small_transformer import transformer_tiny
from trainables.backbones.torchvision_backbones import densenet, efficientnet, resnet, squeezenet

BUILDERS: dict[str, Callable[[int, int], Backbone]] = {
    "resnet20": partial(cifar_resnet, 3),
    "resnet32": partial(cifar_resnet, 5),
    "resnet44": partial(cifar_resnet, 7),
    "resnet56": partial(cifar_resnet, 9),
    "affinity-conv": partial(affinity_conv, 128),
    "affinity-conv-2d": partial(affinity_conv, 2),
    "conv-tiny": conv_tiny,
    "transformer-tiny": transformer_tiny,
    "mlp": partial(mlp, 2),
    "mlp-2-layer": partial(mlp, 1),
    "resnet10": partial(resnet, partial(zoo.ResNet, BasicBlock, [1, 1, 1, 1])),
    "resnet18": partial(resnet, zoo.resnet18),
    "resnet34": partial(resnet, zoo.resnet34),
    "resnet50": partial(resnet, zoo.resnet50),
    "resnet101": partial(resnet, zoo.resnet101),
    "resnet152": partial(resnet, zoo.resnet152),
    "preact-resnet18": preact_resnet18,
    "se-resnet50": partial(resnet, partial(zoo.ResNet, SEBottleneck, [3, 4, 6, 3])),
    "resnext50_32x4d": partial(resnet, zoo.resnext50_32x4d),
    "resnext101_32x8d": partial(resnet, zoo.resnext101_32x8d),
    "resnext152_32x4d": partial(resnet, partial(zoo.ResNet, Bottleneck, [3, 8, 36, 3], groups=32, width_per_group=4)),
    "densenet121": partial(densenet, zoo.densenet121),
    "densenet169": partial(densenet, zoo.densenet169),
    "squeezenet1_0": partial(squeezenet, zoo.squeezenet1_0),
    "squeezenet1_1": partial(squeezenet, zoo.squeezenet1_1),
    "efficientnet_b0": partial(efficientnet, zoo.efficientnet_b0),
    "efficientnet_b1": partial(efficientnet, zoo.efficientnet_b1),
    "efficientnet_b2": partial(efficientnet, zoo.efficientnet_b2),
    "efficientnet_b3": partial(efficientnet, zoo.efficientnet_b3),
    "efficientnet_b4": partial(efficientnet, zoo.efficientnet_b4),
    "efficientnet_b5": partial(efficientnet, zoo.efficientnet_b5),
    "efficientnet_b6": partial(efficientnet, zoo.efficientnet_b6),
    "efficientnet_b7": partial(efficientnet, zoo.efficientnet_b7),
}
