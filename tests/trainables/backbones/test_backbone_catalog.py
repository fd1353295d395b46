from __future__ import annotations

import pytest
import torch

from trainables.backbones import MODELS, build_backbone
from trainables.backbones.backbone_catalog import CATALOG

QUICK = (
    *("resnet20", "affinity-conv", "conv-tiny", "transformer-tiny", "mlp", "mlp-2-layer"),
    *("resnet18", "preact-resnet18", "squeezenet1_0"),
)


def test_every_network_has_an_entry() -> None:
    assert tuple(CATALOG) == MODELS


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in MODELS if n not in QUICK)])
def test_parameters_and_features_are_those_of_the_network(name: str) -> None:
    with torch.device("meta"):
        network = build_backbone(name, 3, 32)
    entry = CATALOG[name]
    assert (sum(p.numel() for p in network.parameters()), network.feature_dim) == (entry.parameters, entry.features)
