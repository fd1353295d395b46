"""LoRA's layers: equal to peft's, unchanged at first, and equal when merged."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from trainables.backbones import build_backbone
from trainables.components.tuning import LowRank, merge_low_rank
from trainables.components.tuning.low_rank import LowRankConv2d, LowRankLinear
from trainables.core.config import Projections
from trainables.core.errors import BadInput


def _ramp(*shape: int, step: float) -> Tensor:
    return torch.sin(step * torch.arange(1, math.prod(shape) + 1, dtype=torch.float64)).reshape(shape)


def _filled(layer: LowRankLinear | LowRankConv2d) -> None:
    assert layer.bias is not None
    for parameter, step in ((layer.weight, 0.3), (layer.bias, 0.9), (layer.down, 0.5), (layer.up, 0.4)):
        parameter.data = _ramp(*parameter.shape, step=step)


# printed by peft 0.21.2: inject_adapter_in_model(LoraConfig(r=2, lora_alpha=3, target_modules=["layer"]), ...) around
# nn.Linear(5, 6) and nn.Conv2d(3, 4, 3, stride=2, padding=1), whose weights are the ramps of `_filled`
PEFT_LINEAR = """2.424174 4.707727 1.291755 -1.619302 -0.592665 -0.003656
    -0.651684 -3.019351 -1.168686 0.889112 -0.120958 -0.840378"""
PEFT_CONVOLUTION = """5.066778 12.449629 -5.418702 3.160559 8.303818 18.924995 -6.912547 8.836607
    6.473205 14.615899 -5.017228 7.233853 2.194416 2.871827 -1.553575 1.252815"""


def _numbers(text: str) -> Tensor:
    return torch.tensor([float(word) for word in text.split()], dtype=torch.float64)


def test_a_linear_layer_computes_what_peft_computes() -> None:
    layer = LowRankLinear(nn.Linear(5, 6).double(), rank=2, alpha=3)
    _filled(layer)
    torch.testing.assert_close(layer(_ramp(2, 5, step=0.7)).flatten(), _numbers(PEFT_LINEAR), rtol=0, atol=1e-6)


def test_a_convolution_computes_what_peft_computes() -> None:
    layer = LowRankConv2d(nn.Conv2d(3, 4, 3, stride=2, padding=1).double(), rank=2, alpha=3)
    _filled(layer)
    found = layer(_ramp(1, 3, 4, 4, step=0.7)).flatten()
    torch.testing.assert_close(found, _numbers(PEFT_CONVOLUTION), rtol=0, atol=1e-6)


def test_query_and_value_of_one_layer_are_adapted_as_two_layers_would_be() -> None:
    fused = LowRankLinear(nn.Linear(4, 6).double(), rank=2, alpha=2, parts=3, chosen=(0, 2))
    fused.up.data = _ramp(*fused.up.shape, step=0.4)
    tokens = _ramp(5, 7, 4, step=0.3)
    query, key, value = fused(tokens).chunk(3, dim=-1)
    plain = nn.functional.linear(tokens, fused.weight, fused.bias).chunk(3, dim=-1)
    assert torch.equal(key, plain[1])
    for found, place, before in ((query, 0, plain[0]), (value, 1, plain[2])):
        torch.testing.assert_close(found, before + tokens @ fused.down[place].T @ fused.up[place].T)


NETWORKS: list[tuple[str, Projections]] = [
    ("transformer-tiny", "query-value"),
    ("transformer-tiny", "attention"),
    ("transformer-tiny", "blocks"),
    ("transformer-tiny", "all"),
    ("conv-tiny", "all"),
    ("resnet20", "all"),
    ("mlp", "all"),
]


@pytest.mark.parametrize(("network", "projections"), NETWORKS)
def test_features_are_the_same_at_first_and_when_it_is_merged(network: str, projections: Projections) -> None:
    torch.manual_seed(0)
    backbone, images = build_backbone(network, 3, 16).eval(), torch.randn(4, 3, 16, 16)
    before, weights = backbone(images), {name: p.clone() for name, p in backbone.named_parameters()}
    trained = LowRank(4, 8.0, projections).prepare(backbone, network)
    assert torch.equal(backbone(images), before)
    assert trained == {name for name, _ in backbone.named_parameters()} - weights.keys()
    for name, parameter in backbone.named_parameters():
        if name.endswith(".up"):
            parameter.data = 0.1 * torch.randn(parameter.shape)
    changed = backbone(images)
    assert (changed - before).abs().max() > 1e-3
    merge_low_rank(backbone)
    assert {name for name, _ in backbone.named_parameters()} == weights.keys()
    torch.testing.assert_close(backbone(images), changed, rtol=1e-4, atol=1e-5)


def test_which_layers_are_adapted() -> None:
    layers: dict[Projections, set[str]] = {
        "query-value": {"attn.qkv"},
        "attention": {"attn.qkv", "attn.proj"},
        "blocks": {"attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"},
    }
    for projections, expected in layers.items():
        backbone = build_backbone("transformer-tiny", 1, 8)
        trained = LowRank(2, 2.0, projections).prepare(backbone, "transformer-tiny")
        places = {f"network.blocks.{block}.{layer}" for block in (0, 1) for layer in expected}
        assert {name.rpartition(".")[0] for name in trained} == places


def test_convolutions_with_groups_stay_as_they_are() -> None:
    backbone = build_backbone("efficientnet_b0", 3, 32)
    LowRank(2, 2.0, "all").prepare(backbone, "efficientnet_b0")
    assert any(type(module) is nn.Conv2d and module.groups > 1 for module in backbone.modules())


def test_a_network_without_attention_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"conv-tiny has none; `projections: all` adapts"):
        LowRank(2, 2.0, "query-value").prepare(build_backbone("conv-tiny", 1, 8), "conv-tiny")
