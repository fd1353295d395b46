"""The checks for authors say in plain words what is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from search_spaces import Range
from trainables.backbones.architecture import Architecture
from trainables.components.network import Outputs
from trainables.components.optimizers import OptimizerFactory
from trainables.data.sources.own_dataset import OwnDataset
from trainables.data.sources.source import LabelledImages
from trainables.methods.baselines import linear_head
from trainables.methods.method import Method
from trainables.methods.plan import Hyperparameters, MethodContext, Plan, Stage
from trainables.testing import BrokenContract, check_backbone, check_dataset, check_method, check_optimizer


class _Params(Hyperparameters):
    alpha: float = Field(0.5, ge=0, le=1)


class _Unbounded(Hyperparameters):
    alpha: float = 0.5


def _method(loss: Any, **changes: Any) -> Method:
    def build(params: _Params, context: MethodContext) -> Plan:
        return Plan(linear_head(context), (Stage("plain", 0.0, loss),))

    plain = Method(name="tried", title="t", paper="p", equation="e", params=_Params, build=build)
    return replace(plain, **changes)


def _right(outputs: Outputs, labels: Tensor) -> Tensor:
    return cross_entropy(outputs.logits, labels, reduction="none")


def _said(check: Any, *given: Any) -> str:
    with pytest.raises(BrokenContract) as caught:
        check(*given)
    return str(caught.value)


def test_a_right_method_passes() -> None:
    check_method(_method(_right), {"alpha": Range(low=0, high=1)})


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (
            lambda o, y: cross_entropy(o.logits, y),
            "must have the shape (B,), one value per example: for B = 8 it has ()",
        ),
        (lambda o, y: _right(o, y) / (y.bincount(minlength=9)[y] - 2.0), "is not finite"),
        (lambda o, y: _right(o, y).detach(), "has no gradient: it was detached"),
        (lambda o, y: _right(o, y) * 0, "has no gradient in the features"),
        (lambda o, y: -o.logits.exp().gather(1, y[:, None]).log().squeeze(1), "not finite where a logit is"),
        (lambda o, y: 1 / 0, "building and calling it raised ZeroDivisionError"),
    ],
)
def test_a_wrong_loss_is_described(loss: Any, said: str) -> None:
    assert said in _said(check_method, _method(loss))


def test_a_number_without_bounds_and_a_space_outside_them() -> None:
    assert "`alpha` is a number without bounds" in _said(check_method, _method(_right, params=_Unbounded))
    said = _said(check_method, _method(_right), {"alpha": Range(low=0, high=2), "beta": Range(low=0, high=1)})
    assert "the space reaches outside the bounds: tried: `alpha` must be less than or equal to 1, got 2" in said
    assert "the space has 'beta', which is no param; params: alpha" in said
    assert "the preset `paper` is refused" in _said(check_method, _method(_right, presets={"paper": {"alpha": 3}}))


def test_a_state_that_no_checkpoint_holds_is_found() -> None:
    def build(params: _Params, context: MethodContext) -> Plan:
        steps = [0]

        def loss(outputs: Outputs, labels: Tensor) -> Tensor:
            steps[0] += 1
            return _right(outputs, labels) * (1 + 0.01 * steps[0])

        return Plan(linear_head(context), (Stage("plain", 0.0, loss),))

    said = _said(check_method, replace(_method(_right), build=build))
    assert "stopped after epoch 1 of 5 and continued, it gives other numbers" in said


def test_a_name_of_this_project_is_refused() -> None:
    assert "another of the methods has this name" in _said(check_method, _method(_right, name="erm"))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda c, s: nn.Sequential(nn.Flatten(), nn.Linear(c * s * s, 4)), "must give features (4, 5)"),
        (lambda c, s: 1 / 0, "images (3, 32, 32): it raised ZeroDivisionError: division by zero"),
        (lambda c, s: "no module", "`build` must return a torch module, got str"),
        (lambda c, s: _Idle(c * s * s), "no gradient reaches `network.idle.weight` and 1 more"),
        (lambda c, s: _Whole(c * s * s), "depend on the other images of its batch"),
    ],
)
def test_a_wrong_network_is_described(build: Any, said: str) -> None:
    assert said in _said(check_backbone, Architecture(name="tried", features=5, build=build))


class _Idle(nn.Module):
    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.used, self.idle = nn.Linear(inputs, 5), nn.Linear(inputs, 5)

    def forward(self, images: Tensor) -> Tensor:
        used: Tensor = self.used(images.flatten(1))
        return used


class _Whole(_Idle):
    def forward(self, images: Tensor) -> Tensor:
        found = super().forward(images) + self.idle(images.flatten(1))
        return found - found.mean(dim=0)


def _images(count: int = 8, **changes: Any) -> LabelledImages:
    images, labels = np.zeros((count, 1, 8, 8), np.uint8), np.arange(count) % 4
    return replace(LabelledImages(images, labels, ("a", "b", "c", "d")), **changes)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (_images(labels=np.arange(8)), "labels must lie in 0..3, one for each of the 4 class names, got 4"),
        (_images(labels=np.zeros(8, int)), "class b has no image"),
        (_images(labels=np.zeros(7, int)), "one label for each of the 8 images"),
        (_images(images=np.zeros((8, 8, 8), np.uint8)), "the shape (N, C, H, W), got (8, 8, 8)"),
        (_images(images=np.zeros((8, 1, 8, 8))), "must be uint8, from 0 to 255 (vectors float32), got float64"),
        (_images(images=np.zeros((8, 8, 8, 3), np.uint8)), "1 or 3 channels, got 8"),
        ("nothing", "`read` must return LabelledImages, got str"),
    ],
)
def test_a_wrong_data_set_is_described(found: Any, said: str) -> None:
    message = _said(check_dataset, OwnDataset(name="tried", read=lambda split, folder: found))
    assert message.startswith("tried: train: ") and said in message


def test_a_data_set_that_changes_or_does_not_fit_is_described() -> None:
    rng = np.random.default_rng()
    shapes = {"train": (8, 8), "test": (9, 9)}

    def read(split: Any, folder: Any) -> LabelledImages:
        return _images(images=rng.integers(0, 256, (8, 1, *shapes[split]), np.uint8))

    said = _said(check_dataset, OwnDataset(name="tried", read=read))
    assert "train: read again it has other images" in said
    assert "test: its images are uint8 (1, 9, 9), those of train uint8 (1, 8, 8)" in said
    check_dataset(OwnDataset(name="tried", read=lambda split, folder: _images()))


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_optimizers_of_this_project_pass(name: str) -> None:
    check_optimizer(name)


class _Plain(torch.optim.Optimizer):
    """SGD, with a fault."""

    def __init__(self, parameters: Any, lr: float, fault: str) -> None:
        super().__init__(parameters, {"lr": lr})
        self.fault, self.lr, self.count = fault, lr, 0

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        if self.fault == "closure":
            closure()
        self.count += 1
        for group in self.param_groups:
            for weight in group["params"]:
                gradient = weight.grad
                if gradient is None:
                    if self.fault != "frozen":
                        continue
                    gradient = torch.ones_like(weight)
                rate = self.lr if self.fault == "rate" else group["lr"]
                if self.fault == "memory":
                    rate = rate / self.count
                if self.fault == "object":
                    self.state[weight]["kept"] = _Plain
                weight.data.sub_(rate * gradient)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("closure", "building it and taking a step raised TypeError"),
        ("frozen", "it moves a weight that has no gradient"),
        ("rate", "it moves weights at the learning rate 0"),
        ("memory", "continued from its stored state it gives other weights: what it keeps must stand in `self.state`"),
        ("object", "its state must hold tensors, numbers and plain containers only"),
    ],
)
def test_faults_of_an_optimizer_are_named(fault: str, said: str) -> None:
    mine = OptimizerFactory(name="mine", build=lambda parameters, training: _Plain(parameters, training.lr, fault))
    assert f"mine: {said}" in _said(check_optimizer, mine)


def test_an_optimizer_that_forgets_groups_is_named() -> None:
    def build(parameters: Any, training: Any) -> torch.optim.Optimizer:
        return torch.optim.SGD([p for group in parameters for p in group["params"]], lr=training.lr)

    said = _said(check_optimizer, OptimizerFactory(name="mine", build=build))
    assert "it must keep the groups of parameters that it is given, with their `lr_scale`" in said
    right = OptimizerFactory(name="mine", build=lambda parameters, training: _Plain(parameters, training.lr, ""))
    check_optimizer(right)


def test_a_method_says_what_its_plan_tunes() -> None:
    said = _said(check_method, _method(_right, tuning="head"), {})
    assert "its plan tunes nothing, and its `tuning` says head" in said
