from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from trainables.backbones import build_backbone
from trainables.components.heads import LinearHead
from trainables.components.network import Network

IMAGES = torch.randn(6, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def _network() -> Network:
    torch.manual_seed(0)
    backbone = build_backbone("resnet10", 3, 16)
    return Network(backbone, LinearHead(backbone.feature_dim, 4))


def _buffers(network: Network) -> list[Tensor]:
    return [buffer.clone() for buffer in network.buffers()]


def test_a_second_look_moves_no_running_statistics() -> None:
    network, other = _network().train(), _network().train()
    before = _buffers(network)
    again = network.forward_frozen_stats(IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(_buffers(network), before, strict=True))
    assert torch.equal(again.logits, other(IMAGES).logits)  # of the batch's own statistics, as any training pass
    assert any(not torch.equal(a, b) for a, b in zip(_buffers(other), before, strict=True))
    network(IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(_buffers(network), _buffers(other), strict=True))


def test_in_evaluation_mode_a_second_look_is_the_first() -> None:
    network = _network().train()
    network(IMAGES)
    network.eval()
    assert torch.equal(network.forward_frozen_stats(IMAGES).logits, network(IMAGES).logits)


def test_a_failed_second_look_leaves_the_network_as_it_was() -> None:
    network = _network().train()
    with pytest.raises(RuntimeError):
        network.forward_frozen_stats(IMAGES[:, :2])
    assert all(m.track_running_stats for m in network.modules() if isinstance(m, nn.BatchNorm2d))


def test_a_compiled_network_sees_that_statistics_stay() -> None:
    network = _network()
    network._compiled = [torch.compile(copy.copy(network.backbone), backend="eager")]
    network.train()
    for _ in range(2):
        network(IMAGES)
        before = _buffers(network)
        network.forward_frozen_stats(IMAGES)
        assert all(torch.equal(a, b) for a, b in zip(_buffers(network), before, strict=True))
    network(IMAGES)
    assert any(not torch.equal(a, b) for a, b in zip(_buffers(network), before, strict=True))
