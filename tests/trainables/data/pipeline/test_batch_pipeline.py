"""The device pipeline against torchvision's transforms, with the same draws."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional as reference

from trainables.data import Split
from trainables.data.pipeline.batch_pipeline import BatchPipeline, Draws

MEAN, STD = (0.49, 0.31, 0.05), (0.25, 0.13, 0.6)
Kind = Literal["none", "crop", "crop-flip"]


def images(n: int = 12, channels: int = 3, height: int = 9, width: int = 7) -> Tensor:
    shape = (n, channels, height, width)
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def pipeline(pixels: Tensor, kind: Kind, channels_last: bool = True, padding: int = 4) -> BatchPipeline:
    split = Split(pixels, torch.arange(len(pixels)) % 3)
    c = pixels.shape[1]
    return BatchPipeline(split, MEAN[:c], STD[:c], augmentation=kind, channels_last=channels_last, padding=padding)


def expected(pixels: Tensor, offsets: Tensor, flips: Tensor, padding: int) -> Tensor:
    """Do what torchvision does, image by image, in float64."""
    out = []
    for image, (row, column), flip in zip(pixels, offsets.tolist(), flips.tolist(), strict=True):
        _, height, width = image.shape
        cropped = reference.crop(reference.pad(image, [padding] * 4), row, column, height, width)
        turned = reference.horizontal_flip(cropped) if flip else cropped
        c = len(image)
        out.append(reference.normalize(turned.double() / 255, list(MEAN[:c]), list(STD[:c])))
    return torch.stack(out)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["none", "crop", "crop-flip"])
def test_values_are_torchvisions(kind: Kind, channels: int, channels_last: bool) -> None:
    pixels = images(200, channels)
    ours = pipeline(pixels, kind, channels_last)
    draws = ours.draw(200, torch.Generator().manual_seed(1))
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(2))
    batch = ours.batch(rows, draws[rows])
    theirs = expected(pixels[rows], draws.offsets[rows], draws.flips[rows], 0 if kind == "none" else 4)
    assert batch.dtype == torch.float32 and batch.shape == theirs.shape
    assert (batch - theirs).abs().max() < 1e-6


@given(st.integers(0, 3), st.integers(1, 6), st.integers(1, 6), st.booleans(), st.integers(0, 10_000))
def test_any_size_and_padding(padding: int, height: int, width: int, last: bool, seed: int) -> None:
    pixels = images(5, 3, height, width)
    ours = pipeline(pixels, "crop-flip", last, padding)
    rows = torch.tensor([4, 0, 0, 2])
    draws = ours.draw(4, torch.Generator().manual_seed(seed))
    theirs = expected(pixels[rows], draws.offsets, draws.flips, padding)
    assert (ours.batch(rows, draws) - theirs).abs().max() < 1e-6


def test_every_offset_and_flip_is_the_window_it_names() -> None:
    pixels = images(1)
    ours = pipeline(pixels, "crop-flip")
    offsets = torch.cartesian_prod(torch.arange(9), torch.arange(9)).repeat(2, 1)
    flips = torch.arange(162) >= 81
    batch = ours.batch(torch.zeros(162, dtype=torch.int64), Draws(offsets, flips, torch.ones(162)))
    theirs = expected(pixels.expand(162, -1, -1, -1), offsets, flips, 4)
    assert (batch - theirs).abs().max() < 1e-6


@pytest.mark.parametrize("kind", ["none", "crop", "crop-flip"])
@pytest.mark.parametrize("channels_last", [True, False])
def test_without_draws_images_stay_as_they_are(kind: Kind, channels_last: bool) -> None:
    pixels = images()
    ours = pipeline(pixels, kind, channels_last)
    assert torch.equal(ours.pixels(torch.arange(12)), pixels)
    plain = expected(pixels, torch.zeros(12, 2, dtype=torch.int64), torch.zeros(12), 0)
    assert (ours.batch(torch.arange(12)) - plain).abs().max() < 1e-6


@pytest.mark.parametrize("channels_last", [True, False])
def test_batches_lie_in_memory_as_asked(channels_last: bool) -> None:
    ours = pipeline(images(), "crop-flip", channels_last)
    draws = ours.draw(12, torch.Generator())
    batch = ours.batch(torch.arange(12), draws)
    wanted = torch.channels_last if channels_last else torch.contiguous_format
    assert batch.is_contiguous(memory_format=wanted)


def test_normalise_takes_floats_as_well() -> None:
    ours = pipeline(images(), "none")
    assert torch.equal(ours.normalise(images()), ours.normalise(images().float()))


def test_in_order_yields_everything_once_without_augmentation() -> None:
    ours = pipeline(images(), "crop-flip")
    parts = list(ours.in_order(5))
    assert [len(labels) for _, labels in parts] == [5, 5, 2]
    assert torch.equal(torch.cat([part for part, _ in parts]), ours.batch(torch.arange(12)))
    assert torch.equal(torch.cat([labels for _, labels in parts]), ours.labels)
    assert len(ours) == 12


def test_draws_cover_their_range_evenly_and_repeat() -> None:
    ours = pipeline(images(), "crop-flip")
    one, two = (ours.draw(8100, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one.offsets, two.offsets) and torch.equal(one.flips, two.flips)
    assert torch.bincount(one.offsets.flatten(), minlength=9).sub(1800).abs().max() < 200
    assert one.offsets.dtype == torch.int64 and one.flips.dtype == torch.bool
    assert 3800 < one.flips.sum() < 4300
    assert torch.equal(one.to("cpu").offsets, one.offsets)


def test_no_augmentation_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    draws = pipeline(images(), "none").draw(5, generator)
    assert torch.equal(generator.get_state(), before)
    assert not draws.offsets.any() and not draws.flips.any()
    assert not pipeline(images(), "crop").draw(50, generator).flips.any()


def test_the_split_is_left_alone() -> None:
    pixels = images()
    ours = pipeline(pixels, "none")
    ours.batch(torch.arange(12)).zero_()
    assert torch.equal(pixels, images())
