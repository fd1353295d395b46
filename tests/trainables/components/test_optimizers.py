from __future__ import annotations

import pytest
import torch
from torch import nn

from trainables.components.optimizers import (
    OPTIMIZERS,
    build_optimizer,
    check_optimizer_settings,
    layer_groups,
    set_learning_rate,
)
from trainables.core.config import TrainingConfig
from trainables.core.errors import BadInput


def _stepped(training: TrainingConfig, gradient: float = 3.0) -> torch.Tensor:
    weight = nn.Parameter(torch.ones(4))
    optimizer = build_optimizer([weight], training)
    weight.grad = torch.full((4,), gradient)
    optimizer.step()
    return weight.detach()


def test_adamw_is_torchs_with_the_settings_of_the_training() -> None:
    training = TrainingConfig(optimizer="adamw", lr=0.1, betas=(0.5, 0.9), weight_decay=0.3)
    weight = nn.Parameter(torch.ones(4))
    other = torch.optim.AdamW([weight], lr=0.1, betas=(0.5, 0.9), weight_decay=0.3)
    weight.grad = torch.full((4,), 3.0)
    other.step()
    assert torch.allclose(_stepped(training), weight.detach())


@pytest.mark.parametrize("norm", [None, 0.5, 100.0])
def test_long_gradients_are_scaled_to_the_norm_and_short_ones_stay(norm: float | None) -> None:
    training = TrainingConfig(lr=1.0, momentum=0.0, weight_decay=0.0, clip_norm=norm)
    moved = float((_stepped(training) - 1).norm())
    assert moved == pytest.approx(0.5 if norm == 0.5 else 6.0, rel=1e-5)  # the gradient's norm is 2 * 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"optimizer": "adamw", "momentum": 0.5}, "`momentum` 0.5 means nothing to the optimizer adamw"),
        ({"optimizer": "adamw", "nesterov": True}, "`nesterov` true means nothing to the optimizer adamw"),
        ({"betas": (0.9, 0.95)}, "`betas` (0.9, 0.95) means nothing to the optimizer sgd; leave it out (optimizers "),
        ({"optimizer": "adam"}, "unknown optimizer 'adam'; did you mean 'adamw'?"),
    ],
)
def test_a_setting_that_the_optimizer_lacks_is_refused(given: dict[str, object], said: str) -> None:
    training = TrainingConfig.model_validate(given)
    for refused in (
        check_optimizer_settings,
        lambda training: build_optimizer([nn.Parameter(torch.ones(1))], training),
    ):
        with pytest.raises(BadInput) as caught:
            refused(training)
        assert str(caught.value).startswith(said)


def test_layers_nearer_to_the_images_have_lower_rates() -> None:
    network = nn.ModuleDict({"backbone": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)), "head": nn.Linear(2, 2)})
    layers = {"0.weight": 0, "0.bias": 0, "1.weight": 1, "1.bias": 1}
    groups = layer_groups(list(network.named_parameters()), layers, 0.5)
    optimizer = build_optimizer(groups, TrainingConfig())
    set_learning_rate(optimizer, 0.8)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.4, 0.8]
    held = [[*map(id, group["params"])] for group in optimizer.param_groups]
    assert held == [[*map(id, part.parameters())] for part in (*network["backbone"].children(), network["head"])]
    assert "lr" not in groups[0]  # two optimizers may be built from the same groups


def test_the_table_has_the_names_of_study_files() -> None:
    assert list(OPTIMIZERS) == ["sgd", "adamw"]
