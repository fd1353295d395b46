from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.trainables.components.updates.conftest import Lab
from trainables.components.network import Outputs
from trainables.components.updates import Step, Update
from trainables.components.updates.sharpness_step import SharpnessAwareUpdate
from trainables.core.config import ModelConfig, TrialConfig
from trainables.data import load
from trainables.training.trainer import Trainer

MakeLab = Callable[..., Lab]


@pytest.mark.parametrize("rho", [0.05, 0.8])
def test_steps_are_those_of_algorithm_1(rho: float, make_lab: MakeLab) -> None:
    lab = make_lab()
    weight, momentum = lab.start.numpy().copy(), np.zeros((4, 3))
    for done in range(4):
        gradient = lab.cross_entropy_gradient(weight)
        away = weight + rho * gradient / np.sqrt(np.sum(gradient**2))
        momentum = 0.9 * momentum + lab.cross_entropy_gradient(away) + 0.05 * weight
        weight = weight - 0.3 / (done + 1) * momentum
    np.testing.assert_allclose(lab.train(SharpnessAwareUpdate(rho)).numpy(), weight, rtol=0, atol=1e-10)


def test_rho_to_0_is_plain_sgd(make_lab: MakeLab) -> None:
    lab = make_lab()
    plain = lab.train(Update())
    assert torch.equal(lab.train(SharpnessAwareUpdate(0.0)), plain)
    gaps = [float((lab.train(SharpnessAwareUpdate(rho)) - plain).norm()) for rho in (1e-1, 1e-3, 1e-5)]
    assert gaps[1] < gaps[0] / 50 and gaps[2] < gaps[1] / 50


def _step(weights: list[nn.Parameter], loss: Callable[[], Tensor], trained: list[nn.Parameter]) -> Step:
    optimizer = torch.optim.SGD(weights, lr=0.1)
    forward = lambda: Outputs(torch.zeros(1), loss())  # noqa: E731
    return Step(forward, lambda outputs: outputs.logits, torch.zeros(1), optimizer, trained, 0.1)


def test_a_gradient_of_zero_moves_nothing() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 2.0]))
    SharpnessAwareUpdate(100.0)(_step([weight], lambda: (0 * weight).sum(), [weight]))
    assert weight.tolist() == [1, 2]


def test_the_perturbation_has_length_rho_over_the_trained_parameters_alone() -> None:
    one, two, fixed = (nn.Parameter(torch.randn(3, dtype=torch.float64)) for _ in range(3))
    fixed.requires_grad_(False)
    before, seen = [w.detach().clone() for w in (one, two, fixed)], []

    def loss() -> Tensor:
        seen.append([w.detach().clone() for w in (one, two, fixed)])
        return (one.square() * two.exp() * fixed.square()).sum()

    returned = SharpnessAwareUpdate(0.3)(_step([one, two, fixed], loss, [one, two]))[1]
    first, second = seen
    assert all(torch.equal(a, b) for a, b in zip(first, before, strict=True))
    moved = torch.cat([a - b for a, b in zip(second, before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.3, abs=1e-12)
    assert torch.equal(second[2], before[2]) and torch.equal(fixed, before[2])
    assert returned.item() == pytest.approx(float((before[0] ** 2 * before[1].exp() * before[2] ** 2).sum()))


def test_weights_come_back_exactly() -> None:
    # in float32 1e-3 + 1e4 - 1e4 is not 1e-3
    weight = nn.Parameter(torch.tensor([1e-3, -3e-7]))
    step = _step([weight], lambda: weight.sum(), [weight])
    step.optimizer.param_groups[0]["lr"] = 0.0
    SharpnessAwareUpdate(1e4)(step)
    assert torch.equal(weight.detach(), torch.tensor([1e-3, -3e-7]))


def test_statistics_of_batch_normalisation_move_once_a_step_and_at_the_unperturbed_weights(
    make_trial: Callable[..., TrialConfig], write_images: Callable[..., Path], tmp_path: Path
) -> None:
    folder = write_images(tmp_path / "colours", size=8)
    found = []
    for name in ("erm", "sam"):
        data = {"dataset": folder.name, "data_dir": str(tmp_path), "profile": {"kind": "long_tail", "ratio": 2}}
        config = make_trial(name, data=data, batch_size=1000, epochs=1)
        config = config.model_copy(update={"model": ModelConfig(name="resnet10")})
        trainer = Trainer(config, load(config.data), torch.device("cpu"))
        trainer.run_epoch()
        found.append(dict(trainer.network.named_buffers()))
    assert any("running_var" in name for name in found[0])
    # one step: both looked at the same weights
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
