"""Every network that builds quickly keeps the contract that authors of networks check; data sets likewise."""

from __future__ import annotations

import pytest

from trainables.backbones import BACKBONES
from trainables.testing import check_backbone

_LARGE = 15_000_000
"""Weights above which a network is checked by the long tests alone."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if (network.parameters or 0) > _LARGE else ())
        for name, network in BACKBONES.items()
    ],
)
def test_a_network_keeps_the_contract(name: str) -> None:
    check_backbone(name)
