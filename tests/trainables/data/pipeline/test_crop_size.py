"""Crops to another size, flips alone and scaling to [-1, 1], against torchvision's transforms with the same draws."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import CenterCrop
from torchvision.transforms.v2 import functional as reference

from trainables.data import Split
from trainables.data.catalog import Augmentation
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.pipeline.streaming_pipeline import StreamingPipeline, open_pipeline

N = 40
ROWS = torch.arange(N)


def images(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (N, 3, height, width), generator=generator, dtype=torch.uint8)


def pipeline(pixels: Tensor, kind: Augmentation, **options: Any) -> BatchPipeline:
    return BatchPipeline(Split(pixels, ROWS % 3), [0.5] * 3, [0.5] * 3, augmentation=kind, **options)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("shape", [(11, 11), (12, 9)])
def test_random_crops_are_torchvisions(shape: tuple[int, int], padding: int | None, channels_last: bool) -> None:
    pixels = images(*shape)
    ours = pipeline(pixels, "crop-flip", crop_size=7, padding=padding, channels_last=channels_last)
    draws = ours.draw(N, torch.Generator().manual_seed(1))
    drawn = ours.pixels(ROWS, draws)
    for image, (row, column), flip, cropped in zip(pixels, draws.offsets.tolist(), draws.flips, drawn, strict=True):
        theirs = reference.crop(reference.pad(image, [padding or 0] * 4), row, column, 7, 7)
        assert torch.equal(cropped, reference.horizontal_flip(theirs) if flip else theirs)
    free = torch.tensor(shape) + 2 * (padding or 0) - 7
    assert torch.equal(draws.offsets.min(0).values, torch.zeros(2, dtype=torch.int64))
    assert torch.equal(draws.offsets.max(0).values, free)  # both ends are drawn


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize(("shape", "size"), [((11, 11), 7), ((12, 9), 7), ((64, 64), 56), ((13, 10), 8)])
def test_without_draws_a_crop_is_the_centre(shape: tuple[int, int], size: int, channels_last: bool) -> None:
    pixels = images(*shape)
    theirs = CenterCrop(size)(pixels)
    for kind in ("none", "flip", "crop", "resized-crop-flip"):
        ours = pipeline(pixels, kind, crop_size=size, channels_last=channels_last)
        assert torch.equal(ours.pixels(ROWS), theirs)
    evaluated = torch.cat([batch for batch, _ in pipeline(pixels, "none", crop_size=size).in_order(7)])
    assert (evaluated - (theirs.double() / 127.5 - 1)).abs().max() < 1e-6


def test_resized_crops_get_the_crop_size() -> None:
    pixels = images(16, 16)
    ours = pipeline(pixels, "resized-crop-flip", crop_size=12)
    draws = ours.draw(N, torch.Generator().manual_seed(2))
    drawn = ours.pixels(ROWS, draws)
    assert drawn.shape == (N, 3, 12, 12)
    for image, box, flip, resized in zip(pixels, draws.offsets.tolist(), draws.flips, drawn, strict=True):
        theirs = reference.resize(reference.crop(image.double(), *box), [12, 12], antialias=False)
        turned = reference.horizontal_flip(theirs) if flip else theirs
        assert (resized.double() - turned).abs().max() <= 0.51


def test_flip_alone_moves_no_pixel_elsewhere() -> None:
    pixels = images(8, 8)
    ours = pipeline(pixels, "flip")
    draws = ours.draw(N, torch.Generator().manual_seed(3))
    assert 0 < draws.flips.sum() < N and not draws.offsets.any()
    wanted = torch.where(draws.flips.view(-1, 1, 1, 1), pixels.flip(3), pixels)
    assert torch.equal(ours.pixels(ROWS, draws), wanted)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("kind", ["none", "flip", "crop", "crop-flip", "resized-crop-flip"])
def test_streamed_batches_are_equal(kind: Augmentation, channels_last: bool) -> None:
    pixels, labels = images(12, 12), ROWS % 3
    options: dict[str, Any] = {"crop_size": 9, "brightness": 0.5, "channels_last": channels_last}
    resident, streamed = (
        open_pipeline(split, [0.4] * 3, [0.2] * 3, augmentation=kind, **options)
        for split in (Split(pixels, labels), Split(pixels, labels, ROWS))
    )
    assert isinstance(streamed, StreamingPipeline)
    draws = resident.draw(N, torch.Generator().manual_seed(4))
    again = streamed.draw(N, torch.Generator().manual_seed(4))
    assert torch.equal(draws.offsets, again.offsets) and torch.equal(draws.brightness, again.brightness)
    chosen = torch.tensor([5, 0, 5, 39])
    batch = (chosen, draws[chosen])
    assert torch.equal(resident.batch(*batch), streamed.batch(*batch))
    for one, other in zip(resident.in_order(13), streamed.in_order(13), strict=True):
        assert torch.equal(one[0], other[0])


def test_settings_that_are_off_leave_the_draws_unchanged() -> None:
    pixels = images(9, 9)
    one, other = (
        pipeline(pixels, "crop-flip", **options).draw(N, torch.Generator().manual_seed(5))
        for options in ({}, {"brightness": 0.3})
    )
    assert torch.equal(one.offsets, other.offsets) and torch.equal(one.flips, other.flips)
    assert torch.equal(one.brightness, torch.ones(N))
