from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from trainables.backbones import MODELS, build_backbone
from trainables.backbones.architecture import Architecture
from trainables.backbones.backbone import Backbone
from trainables.backbones.backbone_catalog import BACKBONES
from trainables.backbones.layer_order import check_layer_order, layer_order
from trainables.core.errors import BadInput


def _order(name: str, size: int = 32) -> dict[str, int]:
    with torch.device("meta"):
        return layer_order(name, build_backbone(name, 3, size))


@pytest.mark.parametrize("name", MODELS)
def test_every_network_orders_all_its_parameters_as_the_images_pass_them(name: str) -> None:
    backbone = build_backbone(name, 3, 32)
    order = layer_order(name, backbone)
    assert list(order) == [parameter for parameter, _ in backbone.named_parameters()]
    assert set(order.values()) == set(range(max(order.values()) + 1))
    seen: list[int] = []
    for parameter, module in backbone.named_modules():
        if parameter == "network":  # its own parameters are used before its layers, and its hook comes after them
            continue
        for inner, _ in module.named_parameters(recurse=False):
            layer = order[f"{parameter}.{inner}"]
            module.register_forward_hook(lambda *_, layer=layer: seen.append(layer))
    backbone.eval()(torch.zeros(1, 3, 32, 32))
    assert seen == sorted(seen)


def test_a_residual_block_is_a_layer_and_a_normalisation_goes_with_its_convolution() -> None:
    order = _order("resnet18")
    assert order["network.conv1.weight"] == order["network.bn1.weight"] == 0
    assert order["network.layer1.0.conv1.weight"] == order["network.layer1.0.bn2.bias"] == 1
    assert order["network.layer4.1.conv2.weight"] == 8
    assert max(_order("resnet32").values()) == 15


class _Two(nn.Module):
    """Two layers, held in the other order than the images pass them."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first = nn.Linear(192, 4), nn.Conv2d(3, 3, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(images).flatten(1))


class _Named(_Two):
    def layer_names(self) -> list[str]:
        return ["first", "last"]


class _Forgetful(_Two):
    def layer_names(self) -> list[str]:
        return ["first"]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (_Two, "`layer_decay` needs the order of the layers of mine, which it does not say: give its module a method"),
        (_Forgetful, "`layer_decay`: no layer of mine has the parameter 'last.weight'; layers: first"),
    ],
)
def test_a_network_that_says_no_whole_order_is_refused(kind: type[nn.Module], said: str) -> None:
    BACKBONES.describe({"mine": Architecture(name="mine", features=4, build=lambda channels, size: kind())})
    try:
        with pytest.raises(BadInput) as caught:
            check_layer_order("mine", 3, 8)
    finally:
        BACKBONES.forget_descriptions()
    assert str(caught.value).startswith(said)


def test_a_network_may_name_its_layers_and_a_sequence_needs_no_names() -> None:
    order = layer_order("mine", Backbone(4, _Named()))
    assert order["network.first.weight"] == 0 and order["network.last.bias"] == 1
    order = layer_order("mine", Backbone(4, nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten(), nn.Linear(192, 4))))
    assert order == {"network.0.weight": 0, "network.0.bias": 0, "network.2.weight": 1, "network.2.bias": 1}


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet18", "convnext_atto"])
def test_timms_networks_have_the_order_of_timms_own_layer_decay(name: str) -> None:
    timm: Any = pytest.importorskip("timm")
    optim: Any = pytest.importorskip("timm.optim")
    network = timm.create_model(name, num_classes=0)
    order = layer_order(f"timm/{name}", Backbone(network.num_features, network))
    scales = {
        id(p): group["lr_scale"]
        for group in optim.param_groups_layer_decay(network, layer_decay=0.5)
        for p in group["params"]
    }
    last = max(order.values())
    for parameter, value in network.named_parameters():
        # without a classifier timm's last layer is the backbone's last; ours is one below the head
        assert scales[id(value)] == pytest.approx(0.5 ** (last - order[f"network.{parameter}"])), parameter
