"""Augmented, normalised batches on the device, computed without a Python loop over images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from trainables.data.catalog import Augmentation
from trainables.data.pipeline.brightness import brightened, draw_factors
from trainables.data.pipeline.random_resized_crop import draw_boxes, resized_crops
from trainables.data.pipeline.strong_augmentation import StrongAugmentation, StrongDraws

if TYPE_CHECKING:
    from trainables.data.splits import Split


@dataclass(frozen=True, eq=False)
class Draws:
    """Random numbers of an augmentation, one row per image.

    Attributes:
        offsets: int64 (n, 2), row and column of the crop's corner in the padded image, 0..2 * padding; for
            ``resized-crop-flip`` (n, 4): row, column, height and width of the crop in the image.
        flips: bool (n,), true mirrors the image left to right.
        brightness: float32 (n,), factors of the pixel values; ones without brightness jitter.
        strong: of a strong augmentation, if there is one.
    """

    offsets: Tensor
    flips: Tensor
    brightness: Tensor
    strong: StrongDraws | None = None

    def __getitem__(self, part: slice | Tensor) -> Draws:
        """Return the rows of some images: a slice, a mask or indices."""
        strong = None if self.strong is None else self.strong[part]
        return Draws(self.offsets[part], self.flips[part], self.brightness[part], strong)

    def to(self, device: torch.device | str) -> Draws:
        """Copy all draws to a device, once per epoch, so that no step waits for a copy."""
        strong = None if self.strong is None else self.strong.to(device)
        return Draws(self.offsets.to(device), self.flips.to(device), self.brightness.to(device), strong)


class BatchPipeline:
    """Augmented and normalised batches of a split whose images are in device memory.

    For the same random draws, values equal those of torchvision's ``RandomCrop(crop_size, padding)``,
    ``RandomHorizontalFlip``, ``ColorJitter(brightness)``, ``ToTensor`` and ``Normalize(mean, std)`` in that order;
    padding is with zeros, before normalisation. Without a random crop, images smaller than the stored ones are centre
    crops, as by ``CenterCrop(crop_size)``.

    A crop is a window into flat storage. All crops of a batch are one ``index_select`` among overlapping windows, which
    is ten times as fast as indexing by image, row and column. No method synchronises with the device.

    Attributes:
        labels: int64 (N,), on the device.
        full_scale: the largest pixel value, 255; None for vectors, which are unbounded.

    Args:
        split: uint8 images (N, C, H, W) or float32 vectors (N, D, 1, 1), with labels (N,), on any device.
        mean: mean per channel of pixels in [0, 1] or of unscaled features, (C,).
        std: standard deviation per channel, likewise, > 0.
        augmentation: ``none``, ``flip``, ``crop``, ``crop-flip`` or ``resized-crop-flip``; ``auto`` is resolved before.
        device: device of the images and labels.
        channels_last: memory layout of batches, (B, H, W, C) if true; the shape is (B, C, H, W) in both cases.
        padding: zero pixels on each side that ``crop`` may reach into; None means 4 without ``crop_size``, else 0.
        crop_size: height and width of the returned images, in pixels; None keeps the stored size.
        brightness: maximum relative change of the brightness, in [0, 1]; 0 changes nothing.
        strong: what is done to the images after that; None does nothing.
    """

    def __init__(
        self,
        split: Split,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        augmentation: Augmentation = "none",
        device: torch.device | str = "cpu",
        channels_last: bool = True,
        padding: int | None = None,
        crop_size: int | None = None,
        brightness: float = 0.0,
        strong: StrongAugmentation | None = None,
    ) -> None:
        self.labels = split.labels.to(device)
        self.full_scale = 255 if split.images.dtype == torch.uint8 else None
        self.cropping = augmentation in ("crop", "crop-flip")
        default = 4 if crop_size is None else 0
        self.padding = (default if padding is None else padding) if self.cropping else 0
        self.flipping = augmentation in ("flip", "crop-flip", "resized-crop-flip")
        self.resizing = augmentation == "resized-crop-flip"
        self.brightness, self.strong = brightness, strong
        self.channels_last = channels_last
        _, self._channels, self._stored_height, self._stored_width = split.images.shape
        self._height, self._width = crop_size or self._stored_height, crop_size or self._stored_width
        self._take(split)
        self._scale, self._shift = self._affine(mean, std)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def prefetch(self, rows: Tensor, parts: Sequence[slice]) -> None:
        """Announce the rows of an epoch and their slices; no effect here, since all images are in memory."""

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """Sample the augmentation of ``n`` images on the CPU, so that it is equal for all devices.

        Args:
            n: number of images, usually those of an epoch.
            generator: CPU generator; not consumed by ``none``.
        """
        offsets, flips = torch.zeros(n, 2, dtype=torch.int64), torch.zeros(n, dtype=torch.bool)
        factors = torch.ones(n)
        if self.cropping:
            offsets = self._draw_corners(n, generator)
        if self.resizing:
            offsets = draw_boxes(n, self._stored_height, self._stored_width, generator)
        if self.flipping:
            flips = torch.randint(2, (n,), generator=generator) == 1
        if self.brightness:
            factors = draw_factors(n, self.brightness, generator)
        drawn = None if self.strong is None else self.strong.draw(n, self._height, self._width, generator)
        return Draws(offsets, flips, factors, drawn)

    def _draw_corners(self, n: int, generator: torch.Generator) -> Tensor:
        rows, columns = self._free
        if rows == columns == 0:
            return torch.zeros(n, 2, dtype=torch.int64)
        if rows == columns:
            return torch.randint(rows + 1, (n, 2), generator=generator)
        return torch.stack([torch.randint(free + 1, (n,), generator=generator) for free in (rows, columns)], 1)

    @property
    def _free(self) -> tuple[int, int]:
        """Return the largest row and column of a crop's corner in the padded image."""
        rows = self._stored_height + 2 * self.padding - self._height
        return rows, self._stored_width + 2 * self.padding - self._width

    def batch(self, indices: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the normalised images of a batch, float32 (B, C, H, W); arguments as in `pixels`."""
        return self.normalise(self.pixels(indices, draws))

    def pixels(self, indices: Tensor, draws: Draws | None = None) -> Tensor:
        """Return the augmented images of a batch, not normalised.

        Args:
            indices: int64 (B,), rows of the split, on the pipeline's device, repeats allowed.
            draws: B rows, on the device; None takes the centre crop and changes nothing else. Parts that the
                augmentation lacks are ignored. Values out of range are not detected, because the check would make the
                host wait.

        Returns:
            (B, C, H, W) of the split's data type: uint8, or float32 for vectors.
        """
        starts = indices * self._image_step
        if self.resizing and draws is not None:
            whole = self._whole.index_select(0, starts)
            if self.channels_last:
                whole = whole.view(len(indices), self._stored_height, self._stored_width, self._channels)
            size = (self._height, self._width)
            images = resized_crops(whole, draws.offsets, channels_last=self.channels_last, size=size)
        else:
            images = self._windows.index_select(0, starts + self._corners(draws))
            if self.channels_last:
                images = images.view(len(indices), self._height, self._width, self._channels)
        if self.flipping and draws is not None:
            images = _mirrored(images, draws.flips, dim=2 if self.channels_last else 3)
        if self.brightness and draws is not None:
            images = brightened(images, draws.brightness)
        images = images.permute(0, 3, 1, 2) if self.channels_last else images
        if self.strong is not None and draws is not None and draws.strong is not None:
            images = self.strong(images, draws.strong)
        return images

    def _corners(self, draws: Draws | None) -> Tensor | int:
        """Return the distance of the crops' corners from those of the padded images, in flat storage."""
        if self.cropping and draws is not None:
            return draws.offsets[:, 0] * self._row_step + draws.offsets[:, 1] * self._pixel_step
        row, column = (round(free / 2) for free in self._free)
        return row * self._row_step + column * self._pixel_step

    def normalise(self, pixels: Tensor) -> Tensor:
        """Compute (pixels / 255 - mean) / std, for vectors (features - mean) / std.

        Args:
            pixels: (B, C, H, W), uint8 or float, in 0..255; features are unbounded.

        Returns:
            float32 (B, C, H, W), in the memory layout given by ``channels_last``.
        """
        if not self.channels_last:
            return torch.addcmul(self._shift, pixels.float(), self._scale)
        by_row = pixels.permute(0, 2, 3, 1).reshape(-1, self._height, self._width * self._channels)
        normal = torch.addcmul(self._shift, by_row.float(), self._scale)
        return normal.view(-1, self._height, self._width, self._channels).permute(0, 3, 1, 2)

    def in_order(self, batch_size: int, rows: slice | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield normalised images and labels in the split's order, without augmentation, for evaluation.

        Args:
            batch_size: images of a batch; the last may have fewer.
            rows: only these rows of the split; None means all.
        """
        for part in self._parts(batch_size, rows):
            yield self.batch(torch.arange(part.start, part.stop, device=self.labels.device)), self.labels[part]

    def _parts(self, batch_size: int, rows: slice | None) -> list[slice]:
        first, end = (0, len(self)) if rows is None else (rows.start, rows.stop)
        return [slice(start, min(start + batch_size, end)) for start in range(first, end, batch_size)]

    def _take(self, split: Split) -> None:
        self._lay_out(split.images.to(self.labels.device))

    def _lay_out(self, images: Tensor) -> None:
        padded = pad(images, [self.padding] * 4) if self.padding else images
        if self.channels_last:
            padded = padded.permute(0, 2, 3, 1)
        flat = padded.contiguous().view(-1)
        rows, columns = self._stored_height + 2 * self.padding, self._stored_width + 2 * self.padding
        self._image_step = self._channels * rows * columns
        self._pixel_step = self._channels if self.channels_last else 1
        self._row_step = columns * self._pixel_step
        self._windows = self._windows_over(flat, self._height, self._width)
        if self.resizing:
            self._whole = self._windows_over(flat, self._stored_height, self._stored_width)

    def _windows_over(self, flat: Tensor, height: int, width: int) -> Tensor:
        shape: tuple[int, ...] = (self._channels, height, width)
        steps: tuple[int, ...] = (self._image_step // self._channels, self._row_step, 1)
        if self.channels_last:
            shape, steps = (height, width * self._channels), (self._row_step, 1)
        last = sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
        return flat.as_strided((max(0, len(flat) - last), *shape), (1, *steps))

    def _affine(self, mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
        # Computed in float64 and rounded once: one multiply-add is then within 1e-6 of subtracting and dividing.
        wide = torch.tensor([list(mean), list(std)], dtype=torch.float64)
        scale, shift = self._per_pixel(1 / ((self.full_scale or 1) * wide[1])), self._per_pixel(-wide[0] / wide[1])
        return scale.to(self.labels.device), shift.to(self.labels.device)

    def _per_pixel(self, values: Tensor) -> Tensor:
        # One value per pixel: broadcasting per channel takes four times as long on a CPU.
        spread = values.float().view(-1, 1, 1).expand(-1, self._height, self._width)
        if self.channels_last:
            spread = spread.permute(1, 2, 0).reshape(self._height, self._width * self._channels)
        return spread.contiguous()


def _mirrored(images: Tensor, flips: Tensor, dim: int) -> Tensor:
    # Selecting from the images and their mirror images is faster than torch.where on bytes.
    both = torch.cat([images, images.flip(dim)])
    size = len(images)
    return both.index_select(0, torch.arange(size, device=images.device) + size * flips)
