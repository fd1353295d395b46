"""Random resized crops of whole batches."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

SCALE = (0.08, 1.0)
"""Range of the crop's share of the image area."""

RATIO = (3 / 4, 4 / 3)
"""Range of the crop's aspect ratio, width / height."""

_TRIES = 10
_CHUNK = 65_536  # images per call: a million at once would need half a gigabyte


def draw_boxes(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Sample one crop per image with the distribution of torchvision's ``RandomResizedCrop``.

    The area is uniform in `SCALE` and the logarithm of the aspect ratio is uniform in `RATIO`. Both are resampled up to
    ten times until the crop fits; the position is then uniform. If no sample fits, the crop is the largest centred one
    with an aspect ratio in `RATIO`.

    Args:
        n: number of images.
        height: height of the images, in pixels.
        width: width of the images, in pixels.
        generator: CPU generator.

    Returns:
        Row, column, height and width of every crop, int64 (n, 4).

    Source: Szegedy et al. 2015, "Going deeper with convolutions", section 6.

    >>> draw_boxes(2, 64, 64, torch.Generator().manual_seed(0)).shape
    torch.Size([2, 4])
    """
    starts = range(0, n, _CHUNK)
    boxes = [_draw_some(min(_CHUNK, n - start), height, width, generator) for start in starts]
    return torch.cat([torch.zeros(0, 4, dtype=torch.int64), *boxes])


def _draw_some(n: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    uniform = torch.rand(2 * _TRIES + 2, n, dtype=torch.float64, generator=generator)
    share, shape, place = uniform[:_TRIES], uniform[_TRIES:-2], uniform[-2:]
    area = height * width * (SCALE[0] + (SCALE[1] - SCALE[0]) * share)
    low, high = map(math.log, RATIO)
    ratio = torch.exp(low + (high - low) * shape)
    sizes = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()])  # (2, tries, n)
    limits = torch.tensor([height, width], dtype=torch.float64)
    fits = ((sizes >= 1) & (sizes <= limits.view(2, 1, 1))).all(0)
    first = fits.byte().argmax(0)
    chosen = sizes[:, first, torch.arange(n)]
    largest = torch.tensor(_largest(height, width), dtype=torch.float64).view(2, 1)
    found = fits.any(0)
    chosen = torch.where(found, chosen, largest)
    free = limits.view(2, 1) - chosen
    corner = torch.where(found, place * (free + 1), free / 2).floor()
    return torch.cat([corner, chosen]).T.long()


def _largest(height: int, width: int) -> tuple[int, int]:
    ratio = width / height
    if ratio < RATIO[0]:
        return round(width / RATIO[0]), width
    if ratio > RATIO[1]:
        return height, round(height * RATIO[1])
    return height, width


def resized_crops(images: Tensor, boxes: Tensor, *, channels_last: bool) -> Tensor:
    """Enlarge one crop per image to the size of the image by bilinear interpolation.

    Pixels outside the crop do not contribute. A crop is at most as large as its image, so nothing is reduced and no
    antialiasing is needed.

    Args:
        images: uint8 (B, C, H, W), or (B, H, W, C) with ``channels_last``.
        boxes: int64 (B, 4): row, column, height and width, within the images.
        channels_last: position of the channel dimension.

    Returns:
        Tensor of the data type and shape of ``images``; integer types are rounded to the nearest level.

    >>> image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    >>> torch.equal(resized_crops(image, torch.tensor([[0, 0, 4, 4]]), channels_last=False), image)
    True
    """
    maps = images.permute(0, 3, 1, 2) if channels_last else images
    height, width = maps.shape[2:]
    rows = _places(boxes[:, 0], boxes[:, 2], height)
    columns = _places(boxes[:, 1], boxes[:, 3], width)
    size = (len(maps), height, width)
    grid = torch.stack([columns.unsqueeze(1).expand(size), rows.unsqueeze(2).expand(size)], 3)
    drawn = grid_sample(maps.float(), grid, mode="bilinear", padding_mode="border", align_corners=True)
    if not images.is_floating_point():
        drawn = drawn.round_().to(images.dtype)
    return drawn.permute(0, 2, 3, 1).contiguous() if channels_last else drawn


def _places(first: Tensor, extent: Tensor, size: int) -> Tensor:
    """Return the sampling positions of ``size`` pixels, (B, size), in grid coordinates from -1 to 1."""
    extent = extent.unsqueeze(1).double()
    steps = (torch.arange(size, device=first.device, dtype=torch.float64) + 0.5) * extent / size - 0.5
    inside = first.unsqueeze(1) + steps.clamp_min(0).minimum(extent - 1)
    return (inside * (2 / max(1, size - 1)) - 1).float()
