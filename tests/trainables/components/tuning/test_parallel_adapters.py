"""AdaptFormer's adapters beside the perceptrons of a transformer."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from trainables.backbones import build_backbone
from trainables.components.tuning import ParallelAdapters
from trainables.components.tuning.parallel_adapters import AdaptedBlock, Adapter, balanced_width
from trainables.core.errors import BadInput


@pytest.mark.parametrize("normalised", [True, False])
def test_the_features_are_the_same_at_first(normalised: bool) -> None:
    torch.manual_seed(0)
    backbone, images = build_backbone("transformer-tiny", 3, 16), torch.randn(4, 3, 16, 16)
    before, names = backbone(images), {name for name, _ in backbone.named_parameters()}
    trained = ParallelAdapters(8, 0.1, normalised=normalised).prepare(backbone, "transformer-tiny")
    assert torch.equal(backbone(images), before)
    assert {name for name, _ in backbone.named_parameters()} == names | trained
    assert len(trained) == 2 * (6 if normalised else 4)


def test_a_block_computes_the_papers_equation() -> None:
    torch.manual_seed(0)
    block = build_backbone("transformer-tiny", 3, 16).network.blocks[0]
    adapter = Adapter(64, 8, 0.1, learned_scale=False, normalised=True, dropout=0.0)
    for parameter in adapter.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape)
    tokens = torch.randn(2, 5, 64)
    attended = tokens + block.attn(block.norm1(tokens))
    normal = F.layer_norm(attended, (64,), adapter.norm.weight, adapter.norm.bias)
    added = torch.relu(normal @ adapter.down.weight.T + adapter.down.bias) @ adapter.up.weight.T + adapter.up.bias
    expected = attended + block.mlp(block.norm2(attended)) + 0.1 * added
    torch.testing.assert_close(AdaptedBlock(block, adapter)(tokens), expected)


def test_a_learned_scale_is_a_parameter_and_a_fixed_one_is_not() -> None:
    for learned in (True, False):
        adapter = Adapter(4, 2, 0.3, learned_scale=learned, normalised=True, dropout=0.0)
        assert ("scale" in dict(adapter.named_parameters())) == learned
        assert adapter.scale.item() == pytest.approx(0.3)


def test_entries_are_dropped_in_training_alone() -> None:
    torch.manual_seed(0)
    adapter = Adapter(4, 16, 1.0, learned_scale=False, normalised=True, dropout=0.5)
    nn.init.ones_(adapter.up.weight)
    tokens = torch.randn(3, 4)
    assert not torch.equal(adapter(tokens), adapter(tokens))
    assert torch.equal(adapter.eval()(tokens), adapter(tokens))


@pytest.mark.parametrize(("classes", "width"), [(100, 4), (1000, 32), (365, 8), (8142, 256), (24, 1), (10, 1)])
def test_the_width_follows_classes_and_blocks_as_in_the_released_code(classes: int, width: int) -> None:
    assert balanced_width(classes, 12) == width
    backbone = build_backbone("transformer-tiny", 1, 8)
    ParallelAdapters(None, 1.0, classes=classes).prepare(backbone, "transformer-tiny")
    assert backbone.network.blocks[0].adapter.down.out_features == balanced_width(classes, 2)


def test_other_networks_are_refused_by_name() -> None:
    with pytest.raises(BadInput, match="adapters need transformer blocks, and resnet20 has none"):
        ParallelAdapters(8, 0.1).prepare(build_backbone("resnet20", 1, 8), "resnet20")

    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.attn, self.norm2, self.mlp = (nn.Identity() for _ in range(4))

    with pytest.raises(BadInput, match=r"plain vision transformer; those of mine are .*Other"):
        ParallelAdapters(8, 0.1).prepare(nn.Sequential(Other()), "mine")
