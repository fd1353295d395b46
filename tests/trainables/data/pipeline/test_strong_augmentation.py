from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from trainables.core.config import TrainingConfig
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.pipeline.strong_augmentation import StrongAugmentation, StrongDraws, cut_out, strong_augmentation
from trainables.data.splits import Split

N = 40


def _images(channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(20, 200, (N, channels, 12, 16), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_contrast_and_saturation_are_torchvisions(channels: int) -> None:
    images, strong = _images(channels), StrongAugmentation(contrast=0.9, saturation=0.8)
    draws = strong.draw(N, 12, 16, torch.Generator().manual_seed(0))
    assert draws.contrast is not None and draws.saturation is not None
    assert draws.contrast.min() >= 0.1 and draws.contrast.max() <= 1.9
    found = strong(images, draws)
    for row in range(N):
        expected = functional.adjust_contrast(images[row], float(draws.contrast[row]))
        expected = functional.adjust_saturation(expected, float(draws.saturation[row]))
        assert (found[row].int() - expected.int()).abs().max() <= 2  # a level may be truncated the other way, twice


def test_a_square_is_cut_out_of_every_image_around_its_own_centre() -> None:
    images = torch.full((N, 3, 12, 16), 200, dtype=torch.uint8)
    strong = StrongAugmentation(cutout=5, fill=(10, 20, 30))
    draws = strong.draw(N, 12, 16, torch.Generator().manual_seed(0))
    assert draws.holes is not None
    found = strong(images, draws)
    for image, (row, column) in zip(found, draws.holes.tolist(), strict=True):
        expected = images[0].clone()
        rows, columns = slice(max(0, row - 2), row + 3), slice(max(0, column - 2), column + 3)
        expected[:, rows, columns] = torch.tensor([10, 20, 30], dtype=torch.uint8).view(3, 1, 1)
        assert torch.equal(image, expected)
    assert draws.holes[:, 0].max() == 11 and draws.holes[:, 1].max() > 12


@pytest.mark.parametrize("channels_last", [True, False])
def test_it_follows_crop_and_flip_and_rows_are_drawn_alone(channels_last: bool) -> None:
    images = _images()
    options: dict[str, Any] = {"augmentation": "crop-flip", "channels_last": channels_last, "brightness": 0.3}
    strong = StrongAugmentation(contrast=0.3, policy="rand", magnitude=15, cutout=4, fill=(1, 2, 3))
    split = Split(images, torch.zeros(N, dtype=torch.int64))
    plain = BatchPipeline(split, (0.5,) * 3, (0.2,) * 3, **options)
    pipeline = BatchPipeline(split, (0.5,) * 3, (0.2,) * 3, strong=strong, **options)
    rows = torch.arange(N)
    draws = pipeline.draw(N, torch.Generator().manual_seed(0))
    before = plain.draw(N, torch.Generator().manual_seed(0))
    assert torch.equal(draws.offsets, before.offsets) and torch.equal(draws.brightness, before.brightness)
    assert isinstance(draws.strong, StrongDraws)
    found = pipeline.pixels(rows, draws)
    assert torch.equal(found, strong(plain.pixels(rows, before), draws.strong))
    some = torch.tensor([3, 17, 30])
    assert torch.equal(pipeline.pixels(rows[some], draws[some]), found[some])
    assert torch.equal(pipeline.pixels(rows[5:9], draws[5:9]), found[5:9])
    assert torch.equal(pipeline.pixels(rows), plain.pixels(rows))
    normal = pipeline.batch(rows, draws)
    assert normal.shape == (N, 3, 12, 16) and torch.allclose(normal, (found.float() / 255 - 0.5) / 0.2, atol=1e-5)
    assert normal.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)


def test_the_settings_of_a_training_arrive() -> None:
    assert strong_augmentation(TrainingConfig(), (0.5,)) is None
    given = TrainingConfig(auto_augment="rand", rand_ops=3, rand_magnitude=12, cutout=8, contrast=0.1, saturation=0.2)
    expected = StrongAugmentation(0.1, 0.2, "rand", 3, 12, 8, (102, 26))
    assert strong_augmentation(given, (0.4, 0.1)) == expected
    draws = expected.draw(5, 8, 8, torch.Generator().manual_seed(0))
    assert draws.policy is not None and draws.policy.kinds.shape == (5, 3)


def test_strength_without_rand_augment_is_refused() -> None:
    with pytest.raises(ValueError, match="`rand_magnitude` needs `auto_augment: rand`, got 3 with trivial"):
        TrainingConfig(auto_augment="trivial", rand_magnitude=3)
    with pytest.raises(ValueError, match="`rand_ops` needs `auto_augment: rand`, got 1 with no auto_augment"):
        TrainingConfig(rand_ops=1)


def test_a_whole_image_may_be_hidden() -> None:
    assert not cut_out(torch.ones(2, 1, 4, 4), torch.full((2, 2), 2), 8, (0,)).any()
