"""Crops of any size against torchvision's, and the draws against their ranges."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from trainables.data import Split, default_augmentation
from trainables.data.pipeline.batch_pipeline import BatchPipeline
from trainables.data.pipeline.random_resized_crop import draw_boxes, resized_crops
from trainables.data.pipeline.streaming_pipeline import open_pipeline


def images(n: int, height: int, width: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, channels, height, width), generator=generator, dtype=torch.uint8)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("shape", [(64, 64), (17, 23), (70, 64)])
def test_values_are_torchvisions(shape: tuple[int, int], channels_last: bool) -> None:
    pixels = images(60, *shape)
    pipeline = BatchPipeline(
        Split(pixels, torch.arange(60)),
        [0.5] * 3,
        [0.2] * 3,
        augmentation="resized-crop-flip",
        channels_last=channels_last,
    )
    draws = pipeline.draw(60, seeded())
    drawn = pipeline.pixels(torch.arange(60), draws)
    assert drawn.dtype == torch.uint8 and drawn.shape == pixels.shape
    for image, box, flip, ours in zip(pixels, draws.offsets.tolist(), draws.flips, drawn, strict=True):
        cut = reference.crop(image.double(), *box)
        theirs = reference.resize(cut, list(shape), antialias=False)
        turned = reference.horizontal_flip(theirs) if flip else theirs
        assert (ours.double() - turned).abs().max() <= 0.51  # rounded to a grey level
        smoothed = reference.resize(cut, list(shape), antialias=True)
        assert (smoothed - theirs).abs().max() < 1e-6  # enlarging needs no smoothing


def test_the_whole_image_and_single_pixels() -> None:
    pixels = images(3, 9, 9)
    whole = torch.tensor([[0, 0, 9, 9]] * 3)
    assert torch.equal(resized_crops(pixels, whole, channels_last=False), pixels)
    corner = resized_crops(pixels, torch.tensor([[8, 8, 1, 1]] * 3), channels_last=False)
    assert torch.equal(corner, pixels[:, :, 8:, 8:].expand_as(pixels))


@pytest.mark.parametrize("shape", [(64, 64), (224, 224), (40, 50)])
def test_boxes_lie_within_the_image_and_in_their_ranges(shape: tuple[int, int]) -> None:
    height, width = shape
    row, column, h, w = draw_boxes(20_000, height, width, seeded()).T
    assert min(row.min(), column.min()) == 0 and min(h.min(), w.min()) >= 1
    assert (row + h).max() == height and (column + w).max() == width
    area, ratio = h * w / (height * width), w / h
    assert 0.07 < area.min() < 0.09 and 0.9 < area.max() <= 1
    assert 0.7 < ratio.min() < 0.8 and 1.25 < ratio.max() < 1.42


def test_boxes_are_distributed_as_torchvisions() -> None:
    ours = draw_boxes(4000, 64, 64, seeded()).double()
    torch.manual_seed(0)
    crop = RandomResizedCrop(64)
    canvas = torch.empty(3, 64, 64)
    made = [crop.make_params([canvas]) for _ in range(4000)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in made]).double()
    for share in (0.1, 0.5, 0.9):
        assert (ours.quantile(share, 0) - theirs.quantile(share, 0)).abs().max() <= 2


def test_a_crop_that_never_fits_is_the_largest_in_the_middle() -> None:
    boxes = draw_boxes(2000, 4, 4000, seeded())
    (fallback,) = {tuple(box) for box in boxes.tolist() if box[2] == 4 and box[3] == 5 and box[1] == 1997}
    assert fallback == (0, 1997, 4, 5)


def test_draws_repeat_and_one_more_image_changes_none_of_the_arithmetic() -> None:
    assert torch.equal(draw_boxes(50, 64, 64, seeded()), draw_boxes(50, 64, 64, seeded()))
    assert not torch.equal(draw_boxes(50, 64, 64, seeded()), draw_boxes(50, 64, 64, seeded(1)))
    assert draw_boxes(0, 64, 64, seeded()).shape == (0, 4)
    assert draw_boxes(70_000, 64, 64, seeded()).unique(dim=0).shape[0] > 20_000  # over several chunks


def test_resident_and_streamed_batches_are_equal() -> None:
    pixels, rows = images(30, 64, 64), torch.arange(0, 30, 2)
    labels = torch.arange(15)
    one, other = (
        open_pipeline(split, [0.5] * 3, [0.2] * 3, augmentation="resized-crop-flip")
        for split in (Split(pixels[rows], labels), Split(pixels, labels, rows))
    )
    order = torch.randperm(15, generator=seeded())
    draws = one.draw(15, seeded())
    other.prefetch(order, (slice(0, 8), slice(8, 15)))
    for part in (slice(0, 8), slice(8, 15)):
        asked = order[part], draws[part]
        assert torch.equal(one.batch(*asked), other.batch(*asked))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(one.in_order(4), other.in_order(4), strict=True))
    assert torch.equal(one.pixels(torch.arange(15)), pixels[rows])  # evaluation sees whole images


def test_large_colour_images_get_it_by_default() -> None:
    assert default_augmentation("photos", 3, 64) == default_augmentation("photos", 3, 224) == "resized-crop-flip"
    assert default_augmentation("photos", 3, 63) == "crop-flip"
    assert default_augmentation("scans", 1, 224) == "none"
    assert default_augmentation("cifar10", 3, 64) == "crop-flip"
