from __future__ import annotations

import copy

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from trainables.backbones import build_backbone
from trainables.components.heads import LinearHead
from trainables.components.network import Network
from trainables.training.averaged_weights import AveragedWeights


def _network() -> Network:
    torch.manual_seed(0)
    return Network(build_backbone("resnet20", 1, 8), LinearHead(64, 3))


@torch.no_grad()
def _move(network: Network, step: int) -> None:
    generator = torch.Generator().manual_seed(step)
    for parameter in network.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator))
    network.train()(torch.randn(8, 1, 8, 8, generator=generator))


def test_it_is_torchs_average_of_weights_and_batch_norms_statistics() -> None:
    network = _network()
    averaged = AveragedWeights(network, 0.1)  # below the bound of the first steps
    other = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.1), use_buffers=True)
    for step in range(4):
        _move(network, step)
        averaged.update()
        other.update_parameters(network)
    found, expected = averaged.network.state_dict(), other.module.state_dict()
    for name, value in expected.items():
        if value.is_floating_point():
            assert torch.equal(found[name], value), name
        else:
            assert torch.equal(found[name], network.state_dict()[name]), name  # batches are counted, not averaged


def test_early_steps_forget_the_initial_weights() -> None:
    network = _network()
    averaged = AveragedWeights(network, 0.9999)
    weight, found = network.head.get_parameter("weight"), averaged.network.head.get_parameter("weight")
    expected = None
    for step in range(5):
        _move(network, step)
        averaged.update()
        decay = (1 + step) / (10 + step)
        expected = weight.detach().clone() if expected is None else decay * expected + (1 - decay) * weight.detach()
        assert torch.allclose(found, expected, atol=1e-6)


def test_a_state_continues_bit_for_bit_and_giving_starts_anew() -> None:
    network = _network()
    averaged = AveragedWeights(network, 0.9)
    for step in range(3):
        _move(network, step)
        averaged.update()
    continued = AveragedWeights(network, 0.9)
    continued.load(copy.deepcopy(averaged.state()))
    _move(network, 3)
    averaged.update()
    continued.update()
    assert _equal(averaged.network, continued.network)
    averaged.give()
    assert _equal(averaged.network, network)
    _move(network, 4)
    averaged.update()
    assert _equal(averaged.network, network)


def test_the_averaged_network_is_evaluated_and_not_trained() -> None:
    averaged = AveragedWeights(_network(), 0.9)
    assert not averaged.network.training and not any(p.requires_grad for p in averaged.network.parameters())
    assert averaged.network(torch.zeros(2, 1, 8, 8)).logits.shape == (2, 3)


def _equal(one: Network, other: Network) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
