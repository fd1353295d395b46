"""Names, refusals, and that neither needs torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from trainables.backbones import MIN_IMAGE_SIZE, MODELS, build_backbone, check_backbone
from trainables.backbones.builders import BUILDERS
from trainables.core.errors import BadInput


def test_every_name_has_a_builder_and_the_other_way_round() -> None:
    assert set(MODELS) == set(BUILDERS)
    assert len(MODELS) == len(set(MODELS))


def test_names_are_checked_without_importing_torch() -> None:
    program = (
        "import sys; from trainables.backbones import MODELS, check_backbone; check_backbone('resnet32', 3, 32);"
        "print('torch' in sys.modules or 'torchvision' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.parametrize("refuse", [build_backbone, check_backbone])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnet-32", 3, 32), "did you mean 'resnet32'"),
        (("mlp", 0, 32), "`in_channels` must be at least 1, got 0"),
        (("mlp", 1, MIN_IMAGE_SIZE - 1), "`image_size` must be at least 8 pixels, got 7"),
    ],
)
def test_bad_input_says_what_was_allowed(refuse: Any, arguments: Any, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        refuse(*arguments)
