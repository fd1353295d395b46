"""Tunings that insert nothing: the head alone, and the biases."""

from __future__ import annotations

import pytest
from torch import nn

from trainables.backbones import build_backbone
from trainables.components.tuning import Biases, HeadAlone, tuning_named
from trainables.core.config import TunedScope, TuningConfig
from trainables.core.errors import BadInput


def test_a_probe_trains_nothing_of_the_backbone() -> None:
    assert HeadAlone().prepare(build_backbone("resnet20", 1, 8), "resnet20") == frozenset()


@pytest.mark.parametrize("network", ["resnet20", "mlp", "transformer-tiny"])
def test_bitfit_trains_every_additive_term(network: str) -> None:
    backbone = build_backbone(network, 1, 8)
    expected = {
        f"{name}.bias" for name, module in backbone.named_modules() if getattr(module, "bias", None) is not None
    }
    assert Biases().prepare(backbone, network) == expected


def test_a_network_without_biases_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match="mine has no biases"):
        Biases().prepare(nn.Linear(2, 2, bias=False), "mine")


@pytest.mark.parametrize("scope", ["head", "bias", "lora", "adapter"])
def test_every_scope_has_a_tuning(scope: TunedScope) -> None:
    assert tuning_named(TuningConfig(scope=scope)).scope == scope
