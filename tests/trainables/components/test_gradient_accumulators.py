from __future__ import annotations

import torch

from trainables.components.gradient_accumulators import GradientAccumulators
from trainables.components.losses.equalization_loss import SidedWeights


def test_sums_grow_over_steps_and_the_ratio_follows() -> None:
    kept = GradientAccumulators(2)
    for _ in range(3):
        kept.add(SidedWeights(torch.tensor([1.0, 0.0]), torch.tensor([0.5, 2.0])))
    assert kept.positive.tolist() == [3.0, 0.0] and kept.negative.tolist() == [1.5, 6.0]
    torch.testing.assert_close(kept.ratio, torch.tensor([2.0, 0.0], dtype=torch.float64))


def test_small_gradients_are_not_lost_in_large_sums() -> None:
    kept = GradientAccumulators(1)
    kept.add(SidedWeights(torch.tensor([2.0**25]), torch.tensor([1.0])))
    kept.add(SidedWeights(torch.tensor([0.5]), torch.tensor([0.0])))
    assert kept.positive.item() == 2.0**25 + 0.5


def test_it_holds_buffers_alone() -> None:
    kept = GradientAccumulators(3)
    assert not list(kept.parameters())
    assert set(kept.state_dict()) == {"positive", "negative", "ratio"}
