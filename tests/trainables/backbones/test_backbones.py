"""Shapes, sizes and gradients of the networks; the large ones are only built as shapes (device ``meta``)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models as zoo

from trainables.backbones import MIN_IMAGE_SIZE, MODELS, build_backbone
from trainables.backbones.backbone import SMALL_IMAGE_SIZE
from trainables.backbones.backbone_names import (
    CIFAR_RESNETS,
    DENSENETS,
    EFFICIENTNETS,
    RESNETS,
    RESNEXTS,
    SMALL_NETWORKS,
    SQUEEZENETS,
)

RUN_FOR_REAL = (
    *(
        "resnet20",
        "resnet32",
        "resnet10",
        "preact-resnet18",
        "resnet50",
        "se-resnet50",
        "resnext50_32x4d",
        "densenet121",
    ),
    *("squeezenet1_0", "squeezenet1_1", "efficientnet_b0"),
    *SMALL_NETWORKS,
)
QUICK = ("resnet20", "resnet10", "preact-resnet18", *SQUEEZENETS, *SMALL_NETWORKS)
FROM_TORCHVISION = tuple(
    name
    for name in (*RESNETS, *RESNEXTS, *DENSENETS, *SQUEEZENETS, *EFFICIENTNETS)
    if name not in ("resnet10", "preact-resnet18", "resnext152_32x4d")
)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def check_forward_and_backward(name: str, channels: int, size: int) -> nn.Module:
    torch.manual_seed(0)
    backbone = build_backbone(name, channels, size)
    features = backbone(torch.randn(2, channels, size, size))
    assert features.shape == (2, backbone.feature_dim)
    assert features.isfinite().all()
    (features * torch.randn_like(features)).sum().backward()
    missing = [key for key, parameter in backbone.named_parameters() if parameter.grad is None]
    assert missing == []
    assert all(parameter.grad.isfinite().all() for parameter in backbone.parameters())
    return backbone


@pytest.mark.parametrize("name", RUN_FOR_REAL)
def test_colour_images_of_32_pixels(name: str) -> None:
    backbone = check_forward_and_backward(name, 3, 32)
    if name not in EFFICIENTNETS:  # stochastic depth may drop a block for both images
        assert all(parameter.grad.any() for parameter in backbone.parameters())


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("size", [8, 28, 33])
def test_grey_images(name: str, size: int) -> None:
    check_forward_and_backward(name, 1, size)


def check_shape(name: str, channels: int, size: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, channels, size)
        assert backbone(torch.empty(2, channels, size, size)).shape == (2, backbone.feature_dim)


@pytest.mark.parametrize("name", MODELS)
def test_every_network_takes_the_smallest_grey_images(name: str) -> None:
    check_shape(name, 1, MIN_IMAGE_SIZE)


@pytest.mark.parametrize("name", [*RUN_FOR_REAL, "resnet34"])
@pytest.mark.parametrize("size", [SMALL_IMAGE_SIZE, SMALL_IMAGE_SIZE + 1, 224])
def test_both_sides_of_the_stems_threshold(name: str, size: int) -> None:
    check_shape(name, 3, size)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet20", 269_722), ("resnet32", 464_154), ("resnet44", 658_586), ("resnet56", 853_018)],
)
def test_cifar_resnets_have_the_published_size(name: str, expected: int) -> None:
    """He et al. table 6: .27M, .46M, .66M, .85M, with a head of ten classes."""
    head_of_ten = 64 * 10 + 10
    assert parameters(build_backbone(name, 3, 32)) + head_of_ten == expected


@pytest.mark.parametrize("name", FROM_TORCHVISION)
def test_large_images_meet_torchvisions_own_network(name: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(name, 3, 224)
    classifier = backbone.feature_dim * 1000 + 1000
    published = zoo.get_model_weights(name).DEFAULT.meta["num_params"]
    assert parameters(backbone) + classifier == published


@pytest.mark.parametrize("name", [*CIFAR_RESNETS, "resnet18", "densenet121", "preact-resnet18"])
def test_every_convolution_but_projections_has_a_normalisation(name: str) -> None:
    with torch.device("meta"):
        modules = list(build_backbone(name, 3, 32).modules())
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in modules)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in modules)
    # pre-activation: 3 projections without, 1 last normalisation more, none for the stem
    expected = convolutions - 3 if name == "preact-resnet18" else convolutions
    assert norms == expected + (name == "densenet121")


@pytest.mark.parametrize("name", FROM_TORCHVISION)
def test_small_images_are_reduced_eightfold(name: str) -> None:
    """32x32 pixels end as 4x4 in every family, where torchvision's own stems leave one pixel."""
    seen = []
    with torch.device("meta"):
        backbone = build_backbone(name, 3, 32)
        last = "features" if hasattr(backbone.network, "features") else "layer4"
        backbone.network.get_submodule(last).register_forward_hook(lambda *call: seen.append(call[-1].shape[2:]))
        backbone(torch.empty(1, 3, 32, 32))
    assert seen == [(4, 4)]


@pytest.mark.parametrize("name", RUN_FOR_REAL)
def test_channels_last_changes_nothing(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, 3, 16).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        plain = backbone(images)
        last = backbone.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, plain, rtol=1e-3, atol=1e-4 * plain.abs().max().item())


@pytest.mark.parametrize("name", QUICK)
def test_equal_seeds_give_equal_networks(name: str) -> None:
    states = []
    for seed in (7, 7, 8):
        torch.manual_seed(seed)
        states.append(build_backbone(name, 1, 8).state_dict())
    first, again, other = states
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", QUICK)
def test_images_do_not_meet_in_evaluation(name: str) -> None:
    torch.manual_seed(0)
    backbone = build_backbone(name, 1, 12).eval()
    images = torch.randn(3, 1, 12, 12)
    with torch.no_grad():
        together, alone = backbone(images), torch.cat([backbone(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4 * together.abs().max().item())


def test_the_plot_network_differs_in_its_features_alone() -> None:
    wide, flat = build_backbone("affinity-conv", 1, 28), build_backbone("affinity-conv-2d", 1, 28)
    assert (wide.feature_dim, flat.feature_dim) == (128, 2)
    different = [key for key, value in wide.state_dict().items() if value.shape != flat.state_dict()[key].shape]
    assert len(different) == 2


@pytest.mark.parametrize(("name", "published"), [("se-resnet50", 28_088_024), ("resnext152_32x4d", 59_951_400)])
def test_networks_that_torchvision_lacks_have_the_papers_size(name: str, published: int) -> None:
    """Hu et al. table 2 gives 28.1 million; ResNeXt-152 follows from blocks of 3, 8, 36 and 3."""
    with torch.device("meta"):
        backbone = build_backbone(name, 3, 224)
    assert parameters(backbone) + backbone.feature_dim * 1000 + 1000 == published


def test_excitation_weighs_the_channels_of_the_residual_alone() -> None:
    from trainables.backbones.se_resnet import SEBottleneck

    torch.manual_seed(0)
    block = SEBottleneck(64, 16).double().eval()
    maps = torch.randn(2, 64, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        inner = block.bn2(block.conv2(block.bn1(block.conv1(maps)).relu())).relu()
        residual = block.bn3(block.conv3(inner))
        first, second = (layer.weight.flatten(1).numpy() for layer in (block.se.fc1, block.se.fc2))
        biases = [layer.bias.numpy() for layer in (block.se.fc1, block.se.fc2)]
        expected = []
        for image, shortcut in zip(residual.numpy(), maps.numpy(), strict=True):
            squeezed = np.array([channel.mean() for channel in image])
            excited = second @ np.maximum(first @ squeezed + biases[0], 0) + biases[1]
            scale = 1 / (1 + np.exp(-excited))
            expected.append(np.maximum(shortcut + scale[:, None, None] * image, 0))
        assert np.abs(block(maps).numpy() - np.stack(expected)).max() < 1e-10
    assert first.shape == (4, 64)


def test_shortcuts_have_no_parameters_and_pad_on_both_sides() -> None:
    from trainables.backbones.resnet_cifar import BasicBlock

    block = BasicBlock(2, 4, stride=2)
    maps = torch.arange(2 * 5 * 5.0).reshape(1, 2, 5, 5)
    shortcut = block.shortcut(maps)
    assert shortcut.shape == (1, 4, 3, 3)
    assert not shortcut[:, [0, 3]].any()
    assert torch.equal(shortcut[:, 1:3], maps[:, :, ::2, ::2])
