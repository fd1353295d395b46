"""Brightness jitter of whole batches."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_factors(n: int, brightness: float, generator: torch.Generator) -> Tensor:
    """Sample one factor per image with the distribution of torchvision's ``ColorJitter(brightness)``.

    Args:
        n: number of images.
        brightness: b in [0, 1]; factors are uniform in [1 - b, 1 + b].
        generator: CPU generator.

    Returns:
        float32 (n,).

    >>> factors = draw_factors(100, 0.4, torch.Generator().manual_seed(0))
    >>> bool((factors >= 0.6).all() and (factors <= 1.4).all())
    True
    """
    return 1 + brightness * (2 * torch.rand(n, generator=generator) - 1)


def brightened(images: Tensor, factors: Tensor) -> Tensor:
    """Multiply the pixels of each image by its factor, clamp to 0..255 and truncate to whole levels, as torchvision.

    Args:
        images: uint8, (B, ...).
        factors: float32 (B,), at least 0.

    Returns:
        uint8 of the shape of ``images``.

    >>> brightened(torch.tensor([[100, 200]], dtype=torch.uint8), torch.tensor([1.5]))
    tensor([[150, 255]], dtype=torch.uint8)
    """
    scaled = images.float() * factors.view(-1, *[1] * (images.dim() - 1))
    return scaled.clamp_(0, 255).to(images.dtype)
