from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainables.components.updates.conftest import Lab
from trainables.components.losses.complement_entropy import complement_entropy
from trainables.components.updates import Update
from trainables.components.updates.complement_step import ComplementUpdate
from trainables.core.config import MethodConfig, TrialConfig
from trainables.data import load
from trainables.training.trainer import Trainer

MakeLab = Callable[..., Lab]


def _complement_gradient(lab: Lab, weight: np.ndarray, divisor: int) -> np.ndarray:
    """Return the gradient of sum_j q_j log q_j / divisor, mean over examples, by loops.

    With q the softmax over the wrong logits and H its entropy, the derivative by a wrong logit j is
    q_j (log q_j + H), and by the target's is 0.
    """
    total = np.zeros_like(weight)
    for x, y in zip(lab.images.numpy(), lab.labels.tolist(), strict=True):
        p = np.exp(weight @ x) / np.exp(weight @ x).sum()
        entropy = -sum(p[j] / (1 - p[y]) * np.log(p[j] / (1 - p[y])) for j in range(len(p)) if j != y)
        for j in range(len(p)):
            if j != y:
                q = p[j] / (1 - p[y])
                total[j] += q * (np.log(q) + entropy) / divisor * x
    return total / len(lab.labels)


@pytest.mark.parametrize("factor", [1.0, 0.25])
@pytest.mark.parametrize(("variant", "divisor", "decay"), [("paper", 3, 0.0), ("official", 4, 0.05)])
def test_steps_are_those_of_algorithm_1(
    variant: Any, divisor: int, decay: float, factor: float, make_lab: MakeLab
) -> None:
    lab = make_lab(4)
    weight, first, second = lab.start.numpy().copy(), np.zeros((4, 3)), np.zeros((4, 3))
    for done in range(4):
        rate = 0.3 / (done + 1)
        first = 0.9 * first + lab.cross_entropy_gradient(weight) + 0.05 * weight
        weight = weight - rate * first
        second = 0.9 * second + _complement_gradient(lab, weight, divisor) + decay * weight
        weight = weight - factor * rate * second
    np.testing.assert_allclose(lab.train(ComplementUpdate(variant, factor)).numpy(), weight, rtol=0, atol=1e-10)


def test_without_its_second_step_it_is_erm(make_lab: MakeLab) -> None:
    lab = make_lab()
    assert torch.equal(lab.train(ComplementUpdate("paper", 0.0)), lab.train(Update()))
    assert not torch.equal(lab.train(ComplementUpdate("paper", 1e-3)), lab.train(Update()))


def test_two_classes_have_no_complement_and_train_as_erm(make_lab: MakeLab) -> None:
    lab = make_lab(2)
    assert torch.equal(lab.train(ComplementUpdate("paper")), lab.train(Update()))


def test_a_training_without_its_second_step_is_erms(make_trial: Callable[..., TrialConfig]) -> None:
    losses = []
    for method in (MethodConfig(name="cot", params={"rate_factor": 0}), MethodConfig(name="erm")):
        config = make_trial().model_copy(update={"method": method})
        trainer = Trainer(config, load(config.data), torch.device("cpu"))
        losses.append([trainer.run_epoch()["loss"] for _ in range(2)])
    assert losses[0] == losses[1]


def test_the_second_step_flattens_the_wrong_classes(make_lab: MakeLab) -> None:
    lab = make_lab(5)

    def entropy(update: Update) -> float:
        return float(complement_entropy(lab.images @ lab.train(update, steps=20).T, lab.labels).mean())

    assert entropy(ComplementUpdate("paper")) > entropy(Update()) + 0.01


def test_the_state_holds_the_second_momentum(make_trial: Callable[..., TrialConfig]) -> None:
    config = make_trial("cot", epochs=3)
    whole, part, resumed, forgetful = (Trainer(config, load(config.data), torch.device("cpu")) for _ in range(4))
    part.run_epoch()
    state = copy.deepcopy(part.state())
    assert state["updates"][0]["state"]
    resumed.load(state)
    forgetful.load({**state, "updates": [forgetful.plan.stages[0].update.state()]})
    losses = []
    for trainer in (whole, resumed, forgetful):
        while not trainer.finished:
            last = trainer.run_epoch()["loss"]
        losses.append(last)
    assert losses[1] == losses[0]
    assert losses[2] != losses[0]


def test_the_joint_step_is_one_step_on_both_objectives(make_lab: MakeLab) -> None:
    lab = make_lab(4)
    weight, momentum = lab.start.numpy().copy(), np.zeros((4, 3))
    for done in range(4):
        gradient = lab.cross_entropy_gradient(weight) + 0.25 * _complement_gradient(lab, weight, 3)
        momentum = 0.9 * momentum + gradient + 0.05 * weight
        weight = weight - 0.3 / (done + 1) * momentum
    np.testing.assert_allclose(lab.train(ComplementUpdate("joint", 0.25)).numpy(), weight, rtol=0, atol=1e-10)
    assert torch.equal(make_lab().train(ComplementUpdate("joint", 0.0)), make_lab().train(Update()))


def test_the_joint_step_trains_as_complement_cross_entropy(make_trial: Callable[..., TrialConfig]) -> None:
    results = []
    for method in (MethodConfig(name="cot", preset="joint"), MethodConfig(name="cce", preset="paper")):
        config = make_trial().model_copy(update={"method": method})
        trainer = Trainer(config, load(config.data), torch.device("cpu"))
        for _ in range(2):
            trainer.run_epoch()
        results.append(trainer.network.head.state_dict()["weight"].clone())
        resumed = Trainer(config, load(config.data), torch.device("cpu"))
        resumed.load(trainer.state())
    torch.testing.assert_close(results[0], results[1], rtol=1e-4, atol=1e-6)
