"""Strong augmentation of whole batches after crop and flip: contrast, saturation, an augmentation policy, cutout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.core.config import TrainingConfig
from trainables.data.pipeline.auto_augment import Policy, PolicyDraws, augmented, contrasted, draw_policy, saturated
from trainables.data.pipeline.brightness import draw_factors


@dataclass(frozen=True, eq=False)
class StrongDraws:
    """Random numbers of a strong augmentation, one row per image; None for a part that it lacks.

    Attributes:
        contrast: float32 (n,), factors.
        saturation: float32 (n,), factors.
        policy: operations of RandAugment or TrivialAugment.
        holes: int64 (n, 2), row and column of the centre of the square that is cut out.
    """

    contrast: Tensor | None = None
    saturation: Tensor | None = None
    policy: PolicyDraws | None = None
    holes: Tensor | None = None

    def __getitem__(self, part: slice | Tensor) -> StrongDraws:
        """Return the rows of some images."""
        return StrongDraws(*(None if each is None else each[part] for each in self._parts()))  # type: ignore[arg-type]

    def to(self, device: torch.device | str) -> StrongDraws:
        """Copy all draws to a device, except for what the host needs."""
        return StrongDraws(*(None if each is None else each.to(device) for each in self._parts()))  # type: ignore[arg-type]

    def _parts(self) -> tuple[Tensor | PolicyDraws | None, ...]:
        return self.contrast, self.saturation, self.policy, self.holes


@dataclass(frozen=True)
class StrongAugmentation:
    """What is done to training images after crop, flip and brightness, in this order, before any batch transform.

    Attributes:
        contrast: c, the contrast is multiplied by a factor uniform in [1 - c, 1 + c]; 0 leaves it.
        saturation: likewise; grey images have none.
        policy: ``rand`` or ``trivial``; None applies no operation.
        ops: operations of ``rand`` per image.
        magnitude: their strength, 0..30.
        cutout: side in pixels of a square that is replaced by ``fill``; its centre is uniform over the image, so that a
            part of it may lie outside. 0 cuts nothing out.
        fill: a level of 0..255 for every channel.
    """

    contrast: float = 0.0
    saturation: float = 0.0
    policy: Policy | None = None
    ops: int = 2
    magnitude: int = 9
    cutout: int = 0
    fill: tuple[int, ...] = ()

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> StrongDraws:
        """Sample the augmentation of ``n`` images of a size in pixels on the CPU."""
        holes = None
        contrast = draw_factors(n, self.contrast, generator) if self.contrast else None
        saturation = draw_factors(n, self.saturation, generator) if self.saturation else None
        policy = self._policy(n, height, width, generator)
        if self.cutout:
            holes = torch.stack([torch.randint(side, (n,), generator=generator) for side in (height, width)], 1)
        return StrongDraws(contrast, saturation, policy, holes)

    def _policy(self, n: int, height: int, width: int, generator: torch.Generator) -> PolicyDraws | None:
        if self.policy is None:
            return None
        return draw_policy(n, self.policy, height, width, generator, ops=self.ops, magnitude=self.magnitude)

    def __call__(self, images: Tensor, draws: StrongDraws) -> Tensor:
        """Return the augmented images, uint8 (B, C, H, W), of images of the same kind, whose rows draws has."""
        if draws.contrast is not None:
            images = contrasted(images, draws.contrast.view(-1, 1, 1, 1))
        if draws.saturation is not None:
            images = saturated(images, draws.saturation.view(-1, 1, 1, 1))
        if draws.policy is not None:
            images = augmented(images, draws.policy)
        if draws.holes is not None:
            images = cut_out(images, draws.holes, self.cutout, self.fill)
        return images


def cut_out(images: Tensor, centres: Tensor, side: int, fill: Sequence[int]) -> Tensor:
    """Replace a square of each image.

    Args:
        images: (B, C, H, W).
        centres: int64 (B, 2), rows and columns.
        side: in pixels; the square begins half a side before its centre.
        fill: a value for each channel.

    Source: DeVries and Taylor, 2017, Improved regularization with cutout. They cut after normalisation, where zero is
    the mean colour: hence ``fill``.

    >>> cut_out(torch.ones(1, 1, 3, 4), torch.tensor([[1, 0]]), 2, (0,))[0, 0]
    tensor([[0., 1., 1., 1.],
            [0., 1., 1., 1.],
            [1., 1., 1., 1.]])
    """
    height, width = images.shape[2:]
    begin = (centres - side // 2).unsqueeze(2)
    places = torch.arange(max(height, width), device=images.device)
    inside = (places >= begin) & (places < begin + side)
    hidden = inside[:, 0, :height, None] & inside[:, 1, None, :width]
    by_pixel = images.permute(0, 2, 3, 1)
    colour = torch.tensor(fill, dtype=images.dtype, device=images.device).expand_as(by_pixel[:1])
    # a mask and a colour for every value: broadcasting them takes twice as long on a CPU
    whole = hidden.unsqueeze(3).expand_as(by_pixel).contiguous()
    return torch.where(whole, colour.contiguous(), by_pixel).permute(0, 3, 1, 2)


def strong_augmentation(training: TrainingConfig, mean: Sequence[float]) -> StrongAugmentation | None:
    """Return the strong augmentation of a training, or None.

    Args:
        training: its settings.
        mean: mean of every channel of the training images, in [0, 1].
    """
    found = StrongAugmentation(
        training.contrast,
        training.saturation,
        training.auto_augment,
        training.rand_ops,
        training.rand_magnitude,
        training.cutout,
        tuple(round(255 * value) for value in mean),
    )
    return found if found.contrast or found.saturation or found.policy or found.cutout else None
