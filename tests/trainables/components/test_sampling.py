from __future__ import annotations

import pytest
import torch

from trainables.components.sampling import epoch_indices
from trainables.core.randomness import epoch_generator

COUNTS = torch.tensor([700, 200, 80, 20])
LABELS = torch.arange(4).repeat_interleave(COUNTS)[torch.randperm(1000, generator=epoch_generator(0, 0, "mix"))]


def test_instance_visits_every_image_once() -> None:
    order = epoch_indices("instance", LABELS, epoch_generator(0, 0, "order"))
    assert order.dtype == torch.int64
    assert torch.equal(order.sort().values, torch.arange(1000))
    assert not torch.equal(order, torch.arange(1000))


@pytest.mark.parametrize("kind", ["instance", "class-balanced"])
def test_equal_generators_give_equal_epochs(kind: str) -> None:
    def draw(epoch: int) -> torch.Tensor:
        return epoch_indices(kind, LABELS, epoch_generator(7, epoch, "order"))

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))


def test_class_balanced_draws_an_epoch_of_n_within_range() -> None:
    order = epoch_indices("class-balanced", LABELS, epoch_generator(0, 0, "order"))
    assert order.shape == (1000,) and order.dtype == torch.int64
    assert order.min() >= 0 and order.max() < 1000


def test_class_balanced_chance_is_one_over_the_class_size() -> None:
    draws = torch.zeros(1000, dtype=torch.int64)
    epochs = 400
    for epoch in range(epochs):
        draws += epoch_indices("class-balanced", LABELS, epoch_generator(1, epoch, "order")).bincount(minlength=1000)
    expected = (epochs * 1000 / (4 * COUNTS[LABELS])).double()
    # chi-square over all images: 999 degrees of freedom, standard deviation sqrt(2 * 999) = 45
    statistic = ((draws - expected) ** 2 / expected).sum().item()
    assert abs(statistic - 999) < 5 * 45
    per_class = torch.zeros(4, dtype=torch.int64).scatter_add_(0, LABELS, draws)
    assert ((per_class - 100_000).abs() < 5 * 274).all()  # binomial, standard deviation 274


def test_class_balanced_reaches_the_first_and_last_image_of_a_class() -> None:
    labels = torch.tensor([1, 0, 1, 1, 0])
    draws = torch.cat([epoch_indices("class-balanced", labels, epoch_generator(0, e, "o")) for e in range(50)])
    assert set(draws.tolist()) == {0, 1, 2, 3, 4}


def test_a_class_without_images_is_passed_over() -> None:
    labels = torch.tensor([3, 3, 3, 0])  # classes 1 and 2 are absent
    draws = torch.cat([epoch_indices("class-balanced", labels, epoch_generator(0, e, "o")) for e in range(250)])
    assert abs((draws == 3).double().mean().item() - 0.5) < 0.1


def test_other_kinds_are_named() -> None:
    with pytest.raises(ValueError, match="`kind` must be 'instance' or 'class-balanced', got 'class_balanced'"):
        epoch_indices("class_balanced", LABELS, epoch_generator(0, 0, "order"))
