"""RandAugment and TrivialAugment of whole batches: every image has operations and strengths of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample
from torchvision.transforms.v2 import functional

Policy = Literal["rand", "trivial"]

LEVELS = 31
"""Number of strengths of an operation; 0 is the weakest."""

KINDS = (
    *("identity", "shear-x", "shear-y", "translate-x", "translate-y", "rotate"),
    *("brightness", "colour", "contrast", "sharpness", "posterize", "solarize", "auto-contrast", "equalize"),
)
"""Operations, in the order in which a batch is sorted: those that move pixels stand together."""

_MOVES = slice(1, 6)
_SIGNED = 10
"""Number of operations, from the first, whose strength has a random sign."""


@dataclass(frozen=True, eq=False)
class PolicyDraws:
    """Operations of images, one row per image and one column per operation in turn.

    Attributes:
        kinds: int64 (n, m), indices into `KINDS`, always on the CPU: the host sorts a batch by them without waiting.
        strengths: float32 (n, m), with sign; in units of the operation.
        moves: float32 (n, m, 2, 3), from a pixel's place to the place that it comes from, in pixels from the centre.
    """

    kinds: Tensor
    strengths: Tensor
    moves: Tensor

    def __getitem__(self, part: slice | Tensor) -> PolicyDraws:
        """Return the rows of some images."""
        of_host = part if isinstance(part, slice) else part.cpu()
        return PolicyDraws(self.kinds[of_host], self.strengths[part], self.moves[part])

    def to(self, device: torch.device | str) -> PolicyDraws:
        """Copy to a device what is computed with there."""
        return PolicyDraws(self.kinds, self.strengths.to(device), self.moves.to(device))


def draw_policy(
    n: int, policy: Policy, height: int, width: int, generator: torch.Generator, *, ops: int = 2, magnitude: int = 9
) -> PolicyDraws:
    """Sample operations with the distribution of torchvision's ``RandAugment`` or ``TrivialAugmentWide``.

    Args:
        n: number of images.
        policy: ``rand`` applies ``ops`` operations of one strength; ``trivial`` one, of a strength drawn uniformly.
        height: of the images, in pixels.
        width: of the images, in pixels.
        generator: CPU generator.
        ops: of ``rand``, at least 1.
        magnitude: of ``rand``, the strength, in 0..30.

    Source: Cubuk, Zoph, Shlens and Le, 2020, RandAugment; Müller and Hutter, 2021, TrivialAugment. Strengths are
    torchvision's.
    """
    shape = (n, ops if policy == "rand" else 1)
    kinds = torch.randint(len(KINDS), shape, generator=generator)
    levels = torch.full(shape, magnitude) if policy == "rand" else torch.randint(LEVELS, shape, generator=generator)
    signs = 1 - 2 * torch.randint(2, shape, generator=generator)
    strengths = strength_table(policy, height, width)[kinds, levels]
    strengths = torch.where(kinds < _SIGNED, strengths * signs, strengths)
    return PolicyDraws(kinds, strengths.float(), _moves(kinds, strengths, height, width))


def strength_table(policy: Policy, height: int, width: int) -> Tensor:
    """Return the strength of every operation at every level, float64 (14, 31), without sign.

    Shears are slopes, translations whole pixels, rotations degrees, the next four changes of a factor 1; then the bits
    that are kept, and the share of white from which pixels are inverted.
    """
    rand = policy == "rand"
    ends = {
        "shear-x": 0.3 if rand else 0.99,
        "shear-y": 0.3 if rand else 0.99,
        "translate-x": 150 / 331 * width if rand else 32.0,
        "translate-y": 150 / 331 * height if rand else 32.0,
        "rotate": 30.0 if rand else 135.0,
        **dict.fromkeys(("brightness", "colour", "contrast", "sharpness"), 0.9 if rand else 0.99),
    }
    level = torch.arange(LEVELS, dtype=torch.float64)
    rows = {kind: level / (LEVELS - 1) * end for kind, end in ends.items()}
    rows["translate-x"], rows["translate-y"] = rows["translate-x"].trunc(), rows["translate-y"].trunc()
    rows["posterize"] = (8 - level / ((LEVELS - 1) / (4 if rand else 6))).round()
    rows["solarize"] = 1 - level / (LEVELS - 1)
    return torch.stack([rows.get(kind, torch.zeros_like(level)) for kind in KINDS])


def _moves(kinds: Tensor, strengths: Tensor, height: int, width: int) -> Tensor:
    """Return the inverse affine maps (n, m, 2, 3); the identity for operations that move nothing."""
    moves = torch.eye(2, 3, dtype=torch.float64).repeat(*kinds.shape, 1, 1)
    is_kind = {kind: kinds == index for index, kind in enumerate(KINDS[_MOVES], _MOVES.start)}
    s, zero = strengths, torch.zeros_like(strengths)
    moves[..., 0, 1] = torch.where(is_kind["shear-x"], s, zero)  # about the upper left corner, as torchvision does
    moves[..., 0, 2] = torch.where(is_kind["shear-x"], s * height / 2, zero) - torch.where(
        is_kind["translate-x"], s, zero
    )
    moves[..., 1, 0] = torch.where(is_kind["shear-y"], s, zero)
    moves[..., 1, 2] = torch.where(is_kind["shear-y"], s * width / 2, zero) - torch.where(
        is_kind["translate-y"], s, zero
    )
    turn = torch.deg2rad(torch.where(is_kind["rotate"], -s, zero))
    cos, sin = turn.cos(), turn.sin()
    turned = torch.stack([torch.stack([cos, sin, zero], -1), torch.stack([-sin, cos, zero], -1)], -2)
    return torch.where(is_kind["rotate"][..., None, None], turned, moves).float()


def augmented(images: Tensor, draws: PolicyDraws) -> Tensor:
    """Apply each image's operations, as torchvision does to one image, with nearest pixels and black outside.

    The images of a batch are sorted by operation, so that each operation is a few calls for all its images. The host
    does not wait for the device.

    Args:
        images: uint8, (B, C, H, W) with 1 or 3 channels, in any layout.
        draws: of B images.

    Returns:
        uint8 (B, C, H, W).
    """
    for turn in range(draws.kinds.shape[1]):
        kinds, order = draws.kinds[:, turn].sort(stable=True)
        counts = torch.bincount(kinds, minlength=len(KINDS)).tolist()
        there, back = (index.to(images.device, non_blocking=True) for index in (order, order.argsort()))
        strengths = draws.strengths[:, turn].index_select(0, there)
        moves = draws.moves[:, turn].index_select(0, there)
        parts = list(torch.split(images.index_select(0, there), counts))
        of_kind = torch.split(strengths.view(-1, 1, 1, 1), counts)
        first, last = _MOVES.start, _MOVES.stop
        moved = torch.cat(parts[first:last])
        start = counts[0]
        parts[first:last] = [_moved(moved, moves[start : start + len(moved)])] if len(moved) else []
        shift = len(KINDS) - len(parts)
        for index in range(last, len(KINDS)):
            if counts[index]:
                parts[index - shift] = _CHANGES[KINDS[index]](parts[index - shift], of_kind[index])
        images = torch.cat(parts).index_select(0, back)
    return images


def _moved(images: Tensor, moves: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) - (width - 1) / 2
    y = (torch.arange(height, device=images.device) - (height - 1) / 2).unsqueeze(1)
    m = moves.view(-1, 2, 3, 1, 1)
    places = m[:, :, 0] * x + m[:, :, 1] * y + m[:, :, 2]  # no matrix product: a GPU may round its factors
    grid = torch.stack([places[:, 0] / (width / 2), places[:, 1] / (height / 2)], -1)
    found = grid_sample(images.float(), grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return found.round_().to(torch.uint8)


def blended(images: Tensor, others: Tensor, ratio: Tensor) -> Tensor:
    """Return ratio * images + (1 - ratio) * others, clamped to 0..255 and truncated to whole levels.

    Args:
        images: uint8 (B, C, H, W).
        others: float32, of a shape that fits.
        ratio: float32 (B, 1, 1, 1), at least 0.
    """
    return (images * ratio + (1 - ratio) * others).clamp_(0, 255).to(torch.uint8)


def grey(images: Tensor) -> Tensor:
    """Return the luminance in whole levels, float32 (B, 1, H, W), as torchvision computes it."""
    if images.shape[1] == 1:
        return images.float()
    red, green, blue = images.float().unbind(1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).floor_().unsqueeze(1)


def _brightness(images: Tensor, strength: Tensor) -> Tensor:
    return (images * (1 + strength)).clamp_(0, 255).to(torch.uint8)


def saturated(images: Tensor, factor: Tensor) -> Tensor:
    """Blend images (B, C, H, W) with their grey versions; grey images stay."""
    return images if images.shape[1] == 1 else blended(images, grey(images), factor)


def contrasted(images: Tensor, factor: Tensor) -> Tensor:
    """Blend images (B, C, H, W) with their mean luminance."""
    return blended(images, grey(images).mean((1, 2, 3), keepdim=True), factor)


def _sharpness(images: Tensor, strength: Tensor) -> Tensor:
    if min(images.shape[-2:]) <= 2:
        return images
    channels = images.shape[1]
    kernel = torch.ones(3, 3, device=images.device) / 13
    kernel[1, 1] = 5 / 13
    whole = images.float()
    blurred = conv2d(whole, kernel.expand(channels, 1, 3, 3), groups=channels).round_()
    inner = whole[..., 1:-1, 1:-1]
    whole[..., 1:-1, 1:-1] = inner + (blurred - inner) * -strength
    return whole.clamp_(0, 255).to(torch.uint8)


def _posterized(images: Tensor, bits: Tensor) -> Tensor:
    unit = torch.exp2(8 - bits).to(torch.uint8)  # the smallest difference that is left; 8 bits leave 1
    return images - images % unit


def _solarized(images: Tensor, share: Tensor) -> Tensor:
    return torch.where(images >= 255 * share, 255 - images, images)


_CHANGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": _brightness,
    "colour": lambda images, strength: saturated(images, 1 + strength),
    "contrast": lambda images, strength: contrasted(images, 1 + strength),
    "sharpness": _sharpness,
    "posterize": _posterized,
    "solarize": _solarized,
    "auto-contrast": lambda images, _: functional.autocontrast(images),
    "equalize": lambda images, _: functional.equalize(images),
}
