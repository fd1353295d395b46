from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from trainables.training.finite_watch import FiniteWatch, NonFiniteLoss


def _watched(*losses: float, examples: int = 2) -> FiniteWatch:
    watch = FiniteWatch()
    for step, loss in enumerate(losses):
        watch.update(torch.tensor(loss), torch.tensor([[1.0, -10.0 * (step + 1)]]), examples)
    return watch


def test_the_mean_is_over_examples() -> None:
    watch = FiniteWatch()
    watch.update(torch.tensor(1.0), torch.zeros(3, 2), 3)
    watch.update(torch.tensor(5.0), torch.zeros(1, 2), 1)
    assert watch.mean_loss(epoch=1, learning_rate=0.1) == pytest.approx(2.0)


def test_an_epoch_without_steps_has_loss_0() -> None:
    assert FiniteWatch().mean_loss(epoch=1, learning_rate=0.1) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_bad_step_is_named_with_its_values(bad: float) -> None:
    watch = _watched(0.5, 0.25, bad, math.nan, 0.5)
    with pytest.raises(NonFiniteLoss) as caught:
        watch.mean_loss(epoch=7, learning_rate=0.125)
    assert str(caught.value) == f"loss {bad} at epoch 7, step 2 (largest |logit| 30, learning rate 0.125)"


def test_a_bad_first_step_counts() -> None:
    with pytest.raises(NonFiniteLoss, match="at epoch 1, step 0 "):
        _watched(math.nan, 0.5).mean_loss(epoch=1, learning_rate=1.0)


def test_many_small_losses_are_summed_exactly() -> None:
    watch = _watched(*[0.1] * 10_000, examples=1)
    assert watch.mean_loss(epoch=1, learning_rate=1.0) == pytest.approx(0.1, rel=1e-7)


def test_half_precision_losses_are_watched_too() -> None:
    watch = FiniteWatch()
    watch.update(torch.tensor(0.5, dtype=torch.bfloat16), torch.ones(1, 2, dtype=torch.bfloat16), 1)
    assert watch.mean_loss(epoch=1, learning_rate=1.0) == 0.5


def test_it_keeps_no_graph_alive() -> None:
    weight = torch.ones(2, requires_grad=True)
    watch = FiniteWatch()
    watch.update((weight * 2).sum(), weight[None] * 3, 1)
    assert not any(t.requires_grad for t in (*watch._losses, *watch._largest))


class _Waits(TorchFunctionMode):
    """Notes every call that waits for a device: those that bring a value to Python."""

    NAMES = ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "nonzero", "to", "__index__")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        name = getattr(func, "__name__", "")
        if name in self.NAMES and func is not Tensor.to:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_watching_waits_for_no_device() -> None:
    loss, logits = torch.tensor(0.5), torch.randn(4, 3)
    with _Waits() as waits:
        watch = FiniteWatch()
        for _ in range(5):
            watch.update(loss, logits, 4)
        assert waits.seen == []
        watch.mean_loss(epoch=1, learning_rate=1.0)
        assert waits.seen == ["tolist"]  # all of an epoch is read at once


def test_a_step_of_training_waits_for_no_device(make_trial, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    from trainables.data import load
    from trainables.training.trainer import Trainer

    config = make_trial("ldam-drw")
    trainer = Trainer(config, load(config.data), torch.device("cpu"))
    with _Waits() as waits:
        trainer._train(trainer.plan.stages[-1], 0.05)
    assert waits.seen.count("tolist") == 1
    assert set(waits.seen) <= {"tolist"}
