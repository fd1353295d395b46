"""Catalog of backbones: paper, features and parameters; importing it does not import torch.

The networks here are this project's own: those of the papers, and torchvision's with stems for small images. The
papers' tables are trained with them, so a new version of timm changes no published number (docs/networks.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from trainables.backbones.architecture import Architecture
from trainables.backbones.backbone_names import PERCEPTRONS, SMALL_NETWORKS
from trainables.backbones.timm_lookup import WithTimm, configured
from trainables.backbones.timm_names import is_timm
from trainables.core.errors import BadInput, unknown_name
from trainables.core.plugin_table import Table

if TYPE_CHECKING:
    from torch import nn


class BackboneEntry(NamedTuple):
    """What is known of a backbone without building it.

    Attributes:
        parameters: number of trained weights without the head, for colour images (3, 32, 32).
        features: length d of the features.
        paper: authors, year and the paper's name; what this project chose where there is none.
    """

    parameters: int
    features: int
    paper: str


_RESNET = "He et al., 2016, Deep residual learning"
_RESNEXT = "Xie et al., 2017, Aggregated residual transformations"
_DENSENET = "Huang et al., 2017, Densely connected networks"
_SQUEEZENET = "Iandola et al., 2016, SqueezeNet"
_EFFICIENTNET = "Tan and Le, 2019, EfficientNet"
_AFFINITY = "Hayat et al., 2019, section 4.2"

CATALOG: dict[str, BackboneEntry] = {
    "resnet20": BackboneEntry(269_072, 64, f"{_RESNET}, section 4.2"),
    "resnet32": BackboneEntry(463_504, 64, f"{_RESNET}, section 4.2"),
    "resnet44": BackboneEntry(657_936, 64, f"{_RESNET}, section 4.2"),
    "resnet56": BackboneEntry(852_368, 64, f"{_RESNET}, section 4.2"),
    "affinity-conv": BackboneEntry(520_896, 128, _AFFINITY),
    "affinity-conv-2d": BackboneEntry(262_722, 2, f"{_AFFINITY}, with two features to plot"),
    "conv-tiny": BackboneEntry(136_224, 64, "none: two strided convolutions for a CPU"),
    "transformer-tiny": BackboneEntry(146_048, 64, "none: a vision transformer of two blocks for a CPU"),
    "mlp": BackboneEntry(852_480, 256, "none: two hidden layers of 256 units"),
    "mlp-2-layer": BackboneEntry(786_688, 256, "Kim et al., 2020, M2m, section 3.1"),
    "resnet10": BackboneEntry(4_898_112, 512, f"{_RESNET}, one block per stage"),
    "resnet18": BackboneEntry(11_168_832, 512, _RESNET),
    "resnet34": BackboneEntry(21_276_992, 512, _RESNET),
    "resnet50": BackboneEntry(23_500_352, 2048, _RESNET),
    "resnet101": BackboneEntry(42_492_480, 2048, _RESNET),
    "resnet152": BackboneEntry(58_136_128, 2048, _RESNET),
    "preact-resnet18": BackboneEntry(11_167_040, 512, "He et al., 2016, Identity mappings"),
    "se-resnet50": BackboneEntry(26_031_344, 2048, "Hu et al., 2018, Squeeze-and-excitation networks"),
    "resnext50_32x4d": BackboneEntry(22_972_224, 2048, _RESNEXT),
    "resnext101_32x8d": BackboneEntry(86_734_656, 2048, _RESNEXT),
    "resnext152_32x4d": BackboneEntry(57_894_720, 2048, _RESNEXT),
    "densenet121": BackboneEntry(6_946_176, 1024, _DENSENET),
    "densenet169": BackboneEntry(12_476_800, 1664, _DENSENET),
    "squeezenet1_0": BackboneEntry(723_904, 512, _SQUEEZENET),
    "squeezenet1_1": BackboneEntry(722_496, 512, _SQUEEZENET),
    "efficientnet_b0": BackboneEntry(4_007_548, 1280, _EFFICIENTNET),
    "efficientnet_b1": BackboneEntry(6_513_184, 1280, _EFFICIENTNET),
    "efficientnet_b2": BackboneEntry(7_700_994, 1408, _EFFICIENTNET),
    "efficientnet_b3": BackboneEntry(10_696_232, 1536, _EFFICIENTNET),
    "efficientnet_b4": BackboneEntry(17_548_616, 1792, _EFFICIENTNET),
    "efficientnet_b5": BackboneEntry(28_340_784, 2048, _EFFICIENTNET),
    "efficientnet_b6": BackboneEntry(40_735_704, 2304, _EFFICIENTNET),
    "efficientnet_b7": BackboneEntry(63_786_960, 2560, _EFFICIENTNET),
}
"""Name -> entry, in the order of `MODELS`."""


def _built(name: str, in_channels: int, image_size: int) -> nn.Module:
    from trainables.backbones.builders import BUILDERS  # imports torch and torchvision, which takes seconds

    return BUILDERS[name](in_channels, image_size)


BACKBONES: Table[Architecture] = Table(
    "backbones",
    Architecture,
    WithTimm(
        {
            name: Architecture(
                name=name,
                features=entry.features,
                build=partial(_built, name),
                paper=entry.paper,
                parameters=entry.parameters,
                square=name in SMALL_NETWORKS,
                vectors=name in PERCEPTRONS,
            )
            for name, entry in CATALOG.items()
        }
    ),
)
"""Name -> network: those of `CATALOG`, then those of plug-ins; those of timm are found by name and not listed."""


def architecture_of(name: str, options: Mapping[str, Any]) -> Architecture:
    """Return a network with its options.

    Args:
        name: one of `BACKBONES`.
        options: keyword arguments of a network of timm; others take none.

    Raises:
        BadInput: the name is unknown, or the network does not take the options.
    """
    if is_timm(name):
        return configured(name, options)
    if name not in BACKBONES:
        error = unknown_name("model", name, BACKBONES)
        raise BadInput(f"{error}; timm/NAME is a network of timm")
    if options:
        raise BadInput(f"`options` are for networks of timm, and {name} is none; leave them out")
    return BACKBONES[name]


def input_of(name: str) -> str:
    """Return what a backbone accepts, as `check_image_shape` checks it.

    >>> input_of("resnet32"), input_of("conv-tiny")
    ('images from 8 px', 'square images from 8 px')
    """
    return BACKBONES[name].input
