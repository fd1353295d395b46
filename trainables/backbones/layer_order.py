"""The order of a network's layers from the images to the features, for layer-wise learning rates."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from trainables.backbones import BACKBONES, build_backbone
from trainables.backbones.backbone import Backbone
from trainables.core.errors import BadInput

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm)


def layer_order(name: str, backbone: Backbone) -> dict[str, int]:
    """Return the layer of every parameter of a backbone, from 0, which sees the images.

    The order comes from, in this sequence:

    - the network's method ``layer_names()``: names of its submodules from the images to the features, which together
      hold all its parameters;
    - ``group_matcher`` of a network of timm;
    - the order in which a network of this project, or an ``nn.Sequential``, holds its modules. Sequences within it
      count module by module, a residual block is one layer, a normalisation belongs to the layer before it, and
      what the network itself holds, such as learned positions, to the first layer.

    Args:
        name: the network's name in `BACKBONES`, for messages.
        backbone: a network of `build_backbone`.

    Raises:
        BadInput: the network says no order, or one that does not have all its parameters.
    """
    network: Any = backbone.network
    if callable(getattr(network, "layer_names", None)):
        names = list(network.layer_names())
    elif callable(getattr(network, "group_matcher", None)):
        grouped = importlib.import_module("timm.models").group_parameters  # it is a network of timm
        found: dict[str, int] = grouped(network, network.group_matcher(coarse=False), reverse=True)
        return _numbered({f"network.{inner}": layer for inner, layer in found.items()})
    elif type(network) is nn.Sequential or BACKBONES.is_inside(name):
        own = [parameter for parameter, _ in network.named_parameters(recurse=False)]
        names = list(_walk(network))
        return _numbered(_matched(name, backbone, [*own, *names], [*(0 for _ in own), *_joined(network, names)]))
    else:
        raise BadInput(
            f"`layer_decay` needs the order of the layers of {name}, which it does not say: give its module a method "
            "`layer_names()` that returns the names of its submodules from the images to the features, or omit "
            "`layer_decay`"
        )
    return _numbered(_matched(name, backbone, names, range(len(names))))


def check_layer_order(
    name: str, in_channels: int, image_size: int, options: Mapping[str, Any] = MappingProxyType({})
) -> None:
    """Raise `BadInput` where `layer_order` would for a network of these images, without initialising one."""
    with torch.device("meta"):
        layer_order(name, build_backbone(name, in_channels, image_size, options))


def _walk(module: nn.Module, prefix: str = "") -> Iterator[str]:
    """Yield the names of a network's parts in order; plain sequences, and the network itself, are taken apart."""
    for name, child in module.named_children():
        if not any(True for _ in child.parameters()):
            continue
        if type(child) in (nn.Sequential, nn.ModuleList):
            yield from _walk(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _joined(network: nn.Module, names: Sequence[str]) -> list[int]:
    """Number the parts; a normalisation has the number of the part before it."""
    numbers: list[int] = []
    for name in names:
        follows = bool(numbers) and isinstance(network.get_submodule(name), _NORMS)
        numbers.append(numbers[-1] + (not follows) if numbers else 0)
    return numbers


def _matched(name: str, backbone: Backbone, names: Sequence[str], numbers: Sequence[int]) -> dict[str, int]:
    found = {}
    for parameter, _ in backbone.named_parameters():
        inner = parameter.removeprefix("network.")
        fits = [
            (len(part), number)
            for part, number in zip(names, numbers, strict=True)
            if f"{inner}.".startswith(part + ".")
        ]
        if not fits:
            raise BadInput(f"`layer_decay`: no layer of {name} has the parameter '{inner}'; layers: {', '.join(names)}")
        found[parameter] = max(fits)[1]
    return found


def _numbered(layers: dict[str, int]) -> dict[str, int]:
    """Number layers from 0 without gaps, in their order."""
    rank = {layer: index for index, layer in enumerate(sorted(set(layers.values())))}
    return {name: rank[layer] for name, layer in layers.items()}
