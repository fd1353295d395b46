"""Brightness jitter against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import ColorJitter
from torchvision.transforms.v2 import functional as reference

from trainables.data import Split
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.pipeline.brightness import draw_factors


@pytest.mark.parametrize("channels_last", [True, False])
def test_values_are_torchvisions(channels_last: bool) -> None:
    pixels = torch.randint(256, (50, 3, 6, 5), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    ours = BatchPipeline(
        Split(pixels, torch.zeros(50, dtype=torch.int64)),
        [0.5] * 3,
        [0.5] * 3,
        brightness=0.9,
        channels_last=channels_last,
    )
    draws = ours.draw(50, torch.Generator().manual_seed(1))
    rows = torch.arange(50)
    drawn = ours.pixels(rows, draws)
    assert drawn.dtype == torch.uint8
    for image, factor, changed in zip(pixels, draws.brightness.tolist(), drawn, strict=True):
        assert torch.equal(changed, reference.adjust_brightness(image, factor))
    assert torch.equal(ours.pixels(rows), pixels)  # evaluation has no jitter


def test_factors_have_torchvisions_range() -> None:
    factors = draw_factors(20_000, 0.4, torch.Generator().manual_seed(0))
    low, high = ColorJitter(brightness=0.4).brightness
    assert low <= factors.min() < low + 0.001 and high - 0.001 < factors.max() <= high + 1e-6
    assert abs(factors.mean() - 1) < 0.01
