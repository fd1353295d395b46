"""RandAugment and TrivialAugment of batches, image by image equal to torchvision's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode, RandAugment, TrivialAugmentWide

from trainables.data.pipeline.auto_augment import (
    _SIGNED,
    KINDS,
    LEVELS,
    Policy,
    PolicyDraws,
    _moves,
    augmented,
    draw_policy,
    strength_table,
)

THEIRS = {
    "rand": RandAugment,
    "trivial": TrivialAugmentWide,
}
NAMES = dict(
    zip(
        KINDS,
        ("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
         "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
        strict=True,
    )
)  # fmt: skip


def _images(n: int, channels: int, height: int = 20, width: int = 24) -> Tensor:
    """Return smooth images: patches of few pixels, enlarged, with noise."""
    generator = torch.Generator().manual_seed(n)
    coarse = torch.randint(30, 200, (n, channels, 4, 4), generator=generator).float()
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (smooth + torch.randint(20, smooth.shape, generator=generator)).to(torch.uint8)


def _theirs(policy: Policy, image: Tensor, kind: str, strength: float) -> Tensor:
    value = int(strength) if kind == "posterize" else strength
    found: Tensor = THEIRS[policy]()._apply_image_or_video_transform(
        image, NAMES[kind], value, interpolation=InterpolationMode.NEAREST, fill={}
    )
    return found


@pytest.mark.parametrize("policy", ["rand", "trivial"])
def test_strengths_are_torchvisions(policy: Policy) -> None:
    table = strength_table(policy, 20, 24)
    for kind, ours in zip(KINDS, table, strict=True):
        compute, signed = THEIRS[policy]._AUGMENTATION_SPACE[NAMES[kind]]
        theirs = compute(LEVELS, 20, 24)
        expected = torch.zeros(LEVELS) if theirs is None else theirs.double()
        if kind.startswith("translate"):
            expected = (expected + 1e-4).trunc()  # it moves by int(strength); 15.9999 at level 15 is a rounding of 16
        assert torch.allclose(ours, expected.double(), atol=1e-5), kind
        assert signed == (kind in KINDS[1:_SIGNED])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", ["rand", "trivial"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_operation_is_torchvisions_at_every_strength(kind: str, policy: Policy, channels: int) -> None:
    index = KINDS.index(kind)
    levels = strength_table(policy, 20, 24)[index]
    strengths = torch.cat([levels, -levels]) if 0 < index < _SIGNED else levels
    images, kinds = _images(len(strengths), channels), torch.full((len(strengths), 1), index)
    draws = PolicyDraws(kinds, strengths[:, None].float(), _moves(kinds, strengths[:, None], 20, 24))
    found = augmented(images, draws)
    for image, strength, ours in zip(images, strengths.tolist(), found, strict=True):
        difference = (_theirs(policy, image, kind, strength).int() - ours.int()).abs()
        if KINDS.index(kind) in range(1, 6):
            assert (difference > 0).float().mean() < 0.03, strength  # a place between two pixels may round either way
        else:
            assert difference.max() <= 1, strength


def test_every_image_has_its_own_operations_in_turn() -> None:
    images = _images(60, 3)
    draws = draw_policy(60, "rand", 20, 24, torch.Generator().manual_seed(0), ops=3, magnitude=20)
    assert draws.kinds.shape == (60, 3) and len(draws.kinds.unique()) == len(KINDS)
    whole = augmented(images, draws)
    for row in range(0, 60, 7):
        assert torch.equal(augmented(images[row : row + 1], draws[row : row + 1])[0], whole[row])
    last = images.to(memory_format=torch.channels_last)
    assert torch.equal(augmented(last, draws), whole)


@pytest.mark.parametrize(("policy", "ops"), [("rand", 2), ("trivial", 1)])
def test_operations_and_strengths_are_drawn_as_by_torchvision(policy: Policy, ops: int) -> None:
    draws = draw_policy(20_000, policy, 32, 32, torch.Generator().manual_seed(0))
    assert draws.kinds.shape == (20_000, ops)
    share = draws.kinds.flatten().bincount(minlength=len(KINDS)) / draws.kinds.numel()
    assert torch.allclose(share, torch.full_like(share, 1 / len(KINDS)), atol=0.01)
    rotations = draws.strengths[draws.kinds == KINDS.index("rotate")]
    assert (rotations > 0).float().mean() == pytest.approx(0.5, abs=0.05)
    assert len(rotations.abs().unique()) == (1 if policy == "rand" else LEVELS)
    again = draw_policy(20_000, policy, 32, 32, torch.Generator().manual_seed(0))
    assert torch.equal(draws.strengths, again.strengths) and torch.equal(draws.moves, again.moves)


def test_no_operation_is_wide_of_a_batch_of_one() -> None:
    images = _images(1, 3)
    for kind in range(len(KINDS)):
        kinds, strengths = torch.tensor([[kind]]), torch.tensor([[0.5 if kind != 10 else 4.0]])
        draws = PolicyDraws(kinds, strengths, _moves(kinds, strengths.double(), 20, 24))
        assert augmented(images, draws).shape == images.shape
